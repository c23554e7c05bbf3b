// A libibverbs that the addon must cope with and that no distribution here has: its struct ibv_port_attr is longer than
// in the headers that the addon was built with (rdma-core 50 and later: active_speed_ex), and its port runs at XDR. It
// has only the functions that open a device and query its port. tests/binding/newer-names.test.ts builds and uses it.
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef ibv_get_device_list
#undef ibv_query_port

// The structure of rdma-core 65 (libibverbs/verbs.h): four bytes more at its end.
struct newer_port_attr {
  char known[52];
  uint32_t active_speed_ex;
};

static struct ibv_device device = {.node_type = IBV_NODE_CA, .transport_type = IBV_TRANSPORT_IB, .name = "newer0"};

struct ibv_device **ibv_get_device_list(int *count) {
  struct ibv_device **list = calloc(2, sizeof *list);
  list[0] = &device;
  if (count) *count = 1;
  return list;
}
void ibv_free_device_list(struct ibv_device **list) { free(list); }
const char *ibv_get_device_name(struct ibv_device *which) { return which->name; }
int ibv_get_device_index(struct ibv_device *which) { return which == &device ? 0 : -1; }
__be64 ibv_get_device_guid(struct ibv_device *which) { return which == &device; }

static int query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *attributes, size_t length) {
  (void)context;
  struct newer_port_attr all = {.active_speed_ex = 256};  // XDR
  struct ibv_port_attr *known = (struct ibv_port_attr *)&all;
  known->state = IBV_PORT_ACTIVE;
  known->active_mtu = known->max_mtu = IBV_MTU_4096;
  known->active_speed = 128;  // the kernel's value for old programs: NDR
  known->active_width = 2;
  known->gid_tbl_len = port;
  // libibverbs/verbs.c, __lib_query_port: fills the caller's struct as far as it reaches, and clears the rest.
  memset(attributes, 0, length);
  memcpy(attributes, &all, length < sizeof all ? length : sizeof all);
  return 0;
}

int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attributes) {
  (void)context;
  memset(attributes, 0, sizeof *attributes);
  attributes->phys_port_cnt = 1;
  return 0;
}

struct ibv_context *ibv_open_device(struct ibv_device *which) {
  struct verbs_context *all = calloc(1, sizeof *all);
  int ends[2];
  if (pipe(ends) != 0) return NULL;
  all->sz = sizeof *all;
  all->query_port = query_port;
  all->context.device = which;
  all->context.abi_compat = __VERBS_ABI_IS_EXTENDED;
  all->context.async_fd = ends[0];  // no event ever arrives
  return &all->context;
}
int ibv_close_device(struct ibv_context *context) {
  (void)context;
  return 0;
}
struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context) {
  struct ibv_comp_channel *channel = calloc(1, sizeof *channel);
  int ends[2];
  if (pipe(ends) != 0) return NULL;
  channel->context = context;
  channel->fd = ends[0];
  return channel;
}
int ibv_destroy_comp_channel(struct ibv_comp_channel *channel) {
  free(channel);
  return 0;
}
int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event) {
  (void)context, (void)event;
  errno = EAGAIN;
  return -1;
}
