/** Steps of a walk over bytes: to look at one takes a tenth of what it takes to make something of it. */

/** Bytes that are looked at in a step. */
export const STEP_BYTES = 2 ** 15;
/** What that is as work, in bytes that are read. */
export const WALKED = STEP_BYTES / 8;
