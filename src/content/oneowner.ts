/**
 * The name of a state directory within another one: that of builds which cannot give files to others than root. What
 * they make is not what other builds make, though it has the same keys.
 */
export const ONE_OWNER = "one-owner";
