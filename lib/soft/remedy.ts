/** What is missing where libibverbs does not list a software ConnectX. */
export const driverRemedy = 'libibverbs found no driver for it: libmlx5, apt-get install ibverbs-providers'
