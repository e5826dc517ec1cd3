/** The error of something that must never happen. */

/** Violations with the same message, digits and what is quoted aside, are one finding. */
export class Violation extends Error {
  override readonly name = 'Violation';
}
