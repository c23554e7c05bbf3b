/** Whether a device is a software ConnectX: they alone have such names (binding/soft/device/specification.cc). */
export function isSoftware(device: string): boolean {
  return /^mlx5_soft\d/.test(device)
}
