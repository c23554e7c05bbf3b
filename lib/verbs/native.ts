/** What binding/verbs/ exports. */
export type VerbsNative = Record<string, never>
