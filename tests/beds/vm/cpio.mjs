// Writes "newc" cpio archives, the format of an initramfs. Twenty lines here save installing a package.

const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000

/**
 * @param {Array<{ path: string, data?: Buffer, mode?: number, link?: string }>} entries without data and link: a directory.
 *   Parents come before their children.
 */
export function cpio(entries) {
  const parts = []
  let inode = 1
  const add = (path, mode, data) => {
    const name = Buffer.from(`${path}\0`)
    const fields = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0]
    const header = `070701${fields.map((n) => n.toString(16).padStart(8, '0')).join('')}`
    parts.push(Buffer.from(header), name, padding(110 + name.length), data, padding(data.length))
  }
  for (const { path, data, mode, link } of entries) {
    if (link !== undefined) add(path, S_IFLNK | 0o777, Buffer.from(link))
    else if (data !== undefined) add(path, S_IFREG | (mode ?? 0o644), data)
    else add(path, S_IFDIR | (mode ?? 0o755), Buffer.alloc(0))
  }
  add('TRAILER!!!', 0, Buffer.alloc(0))
  return Buffer.concat(parts)
}

const padding = (length) => Buffer.alloc((4 - (length % 4)) % 4)
