// Each rank sends to the next and receives from the one before, lengths from a byte to a megabyte, and checks every
// byte; then a sum over all ranks.
//
//   mpicc -o ring ring.c && mpirun -n 2 ring
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { kMost = 1 << 20 };

static unsigned char byte(int i, int rank, int length) {
  return (unsigned char)(i * 7 + (i >> 8) + rank * 31 + length);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, size, wrong = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const int next = (rank + 1) % size, last = (rank + size - 1) % size;
  unsigned char *out = malloc(kMost), *in = malloc(kMost);
  for (int length = 1; length <= kMost; length *= 4) {
    for (int i = 0; i < length; i++) out[i] = byte(i, rank, length);
    MPI_Sendrecv(out, length, MPI_BYTE, next, 0, in, length, MPI_BYTE, last, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (int i = 0; i < length; i++) wrong += in[i] != byte(i, last, length);
  }
  int own = rank + 1, sum = 0;
  MPI_Allreduce(&own, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  wrong += sum != size * (size + 1) / 2;
  MPI_Finalize();
  printf("rank %d of %d: %d wrong\n", rank, size, wrong);
  return wrong != 0;
}
