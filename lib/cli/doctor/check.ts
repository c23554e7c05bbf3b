/** The result of one of doctor's checks. */
export interface Check {
  group: 'process' | 'libraries' | 'kernel' | 'ethernet' | 'rdma'
  name: string
  /** 'warn': works in part, or less well than it could; 'missing': does not work. */
  status: 'ok' | 'warn' | 'missing'
  /** What the check found. */
  detail: string
  /** How to mend it, where there is a way. */
  remedy?: string
}
