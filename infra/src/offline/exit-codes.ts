/** How a part ends where another try would be in vain: the edge has refused its lines. */
export const SENT_IN_VAIN = 42;
