/** One thing that doctor looked at. */
export interface Check {
  group: 'process' | 'libraries' | 'kernel' | 'ethernet' | 'rdma'
  name: string
  /** 'warn': works, but not all of it, or not as well as it could; 'missing': does not work. */
  status: 'ok' | 'warn' | 'missing'
  /** What was found. */
  detail: string
  /** What mends it, where something does. */
  remedy?: string
}
