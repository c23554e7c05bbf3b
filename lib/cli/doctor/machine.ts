/** Reads the machine's state from /proc, /sys, /dev and /boot. Reading never throws: a missing file gives undefined. */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

export class Machine {
  readonly #root: string
  /** The kernel's release, as `uname -r` prints it. */
  readonly release: string

  /** @param root holds /proc, /sys, /dev, /boot and /lib: tests have trees of their own */
  constructor(root = '/', kernelRelease = release()) {
    this.#root = root
    this.release = kernelRelease
  }

  /** A file's text, without surrounding white space. */
  text(path: string): string | undefined {
    try {
      return readFileSync(join(this.#root, path), 'latin1').trim()
    } catch {
      return undefined
    }
  }

  /** A file's text as a number. */
  number(path: string): number | undefined {
    const text = this.text(path)
    return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined
  }

  exists(path: string): boolean {
    return existsSync(join(this.#root, path))
  }

  /** Whether this process may read and write the file. */
  usable(path: string): boolean {
    try {
      accessSync(join(this.#root, path), constants.R_OK | constants.W_OK)
      return true
    } catch {
      return false
    }
  }

  /** Names in a directory, sorted; none if it does not exist. */
  list(path: string): string[] {
    try {
      return readdirSync(join(this.#root, path)).sort()
    } catch {
      return []
    }
  }

  /** The value of the line 'NAME: value' in a file such as /proc/self/status. */
  field(path: string, name: string): string | undefined {
    return this.text(path)
      ?.split('\n')
      .find((line) => line.startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim()
  }

  /** An option of the kernel's configuration: 'y', 'm', 'n', or undefined where the configuration is not readable. */
  kernelOption(name: string): 'y' | 'm' | 'n' | undefined {
    const config = this.#kernelConfig()
    if (config === undefined) return undefined
    return (new RegExp(`^${name}=([ym])$`, 'm').exec(config)?.[1] as 'y' | 'm' | undefined) ?? 'n'
  }

  #config: string | undefined
  #kernelConfig(): string | undefined {
    if (this.#config === undefined) {
      try {
        this.#config = gunzipSync(readFileSync(join(this.#root, 'proc/config.gz'))).toString('latin1')
      } catch {
        this.#config = this.text(`boot/config-${this.release}`)
      }
    }
    return this.#config
  }

  /** State of a kernel module: loaded or built in, available to load, or neither. */
  module(name: string): 'loaded' | 'available' | 'absent' {
    // Built-in modules have a directory there as well if they have parameters or a version.
    if (this.exists(`sys/module/${name}`)) return 'loaded'
    const folder = `lib/modules/${this.release}`
    const file = new RegExp(`/${name.replaceAll('_', '[-_]')}\\.ko`)
    if (file.test(this.text(`${folder}/modules.builtin`) ?? '')) return 'loaded'
    return file.test(this.text(`${folder}/modules.dep`) ?? '') ? 'available' : 'absent'
  }
}
