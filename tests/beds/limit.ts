/** How long a wait may take before the test fails, in milliseconds: never how long one takes, however busy the machine. */
export const limit = 100_000
