// Creating and destroying: the refused calls, with their errno, and the accepted ones.
#include <unistd.h>

#include "verbs.h"

namespace {

ibv_srq* makeSrq(const Device& device, uint32_t maxWr = 16, uint32_t maxSge = 1, uint32_t limit = 0) {
  ibv_srq_init_attr attributes{};
  attributes.attr = {maxWr, maxSge, limit};
  return ibv_create_srq(device.pd, &attributes);
}

int receive(ibv_srq* srq, std::vector<ibv_sge> sges, uint64_t id = 7) {
  ibv_recv_wr wr{id, nullptr, sges.data(), static_cast<int>(sges.size())}, *bad;
  return ibv_post_srq_recv(srq, &wr, &bad);
}

// The errno of destroying with a handle that does not exist.
template <typename Destroy>
void unknown(uint32_t* handle, Destroy destroy) {
  *handle += 100000;
  EQUAL(destroy(), ENOENT);
  *handle -= 100000;
  EQUAL(destroy(), 0);
}

}  // namespace

TEST(a_domain_is_busy_while_anything_of_it_lives) {
  Device device;
  ibv_pd* pd = ibv_alloc_pd(device.context);
  ibv_ah_attr address = device.toItself();
  ibv_ah* ah = ibv_create_ah(pd, &address);
  CHECK(ah != nullptr);
  EQUAL(ibv_dealloc_pd(pd), EBUSY);
  EQUAL(ibv_destroy_ah(ah), 0);
  ibv_srq_init_attr shared{};
  shared.attr = {16, 1, 0};
  ibv_srq* srq = ibv_create_srq(pd, &shared);
  CHECK(srq != nullptr);
  EQUAL(ibv_dealloc_pd(pd), EBUSY);
  EQUAL(ibv_destroy_srq(srq), 0);
  ibv_mr* mr = ibv_reg_mr(pd, device.memory, 64, 0);
  CHECK(mr != nullptr);
  EQUAL(ibv_dealloc_pd(pd), EBUSY);
  EQUAL(ibv_dereg_mr(mr), 0);
  ibv_mw* mw = ibv_alloc_mw(pd, IBV_MW_TYPE_1);
  CHECK(mw != nullptr);
  EQUAL(ibv_dealloc_pd(pd), EBUSY);
  EQUAL(ibv_dealloc_mw(mw), 0);
  Cq cq(device);
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = cq.cq;
  attributes.cap = {1, 1, 1, 1, 0};
  attributes.qp_type = IBV_QPT_UD;
  ibv_qp* qp = ibv_create_qp(pd, &attributes);
  CHECK(qp != nullptr);
  EQUAL(ibv_dealloc_pd(pd), EBUSY);
  EQUAL(ibv_destroy_qp(qp), 0);
  EQUAL(ibv_dealloc_pd(pd), 0);
}

TEST(a_queue_pair_and_an_address_handle_go_to_the_same_addresses) {
  Device device;
  if (device.rxe) return;  // where the kernel uses its routes
  Qp qp(device, IBV_QPT_RC);
  qp.init();
  const auto answers = [&](const ibv_gid& gid, uint8_t index) {
    ibv_ah_attr address = device.toItself();
    address.grh.dgid = gid;
    address.grh.sgid_index = index;
    ibv_ah* ah = ibv_create_ah(device.pd, &address);
    const int created = ah == nullptr ? errno : 0;
    if (ah != nullptr) EQUAL(ibv_destroy_ah(ah), 0);
    const int modified = qp.toRtr(5, address);
    EQUAL(modified, created);
    if (modified == 0) {
      EQUAL(qp.to(IBV_QPS_RESET), 0);
      qp.init();
    }
    return created;
  };
  EQUAL(answers(device.gid(0), 0), 0);
  EQUAL(answers(device.gid(1), 1), 0);
  EQUAL(answers({{0}}, 0), EHOSTUNREACH);                                                       // ::
  EQUAL(answers({{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}, 0), EHOSTUNREACH);          // ::1
  EQUAL(answers({{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5}}, 0), EHOSTUNREACH);  // no MAC in it
  EQUAL(answers({{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 9}}, 0), 0);
  EQUAL(answers(device.gid(0), 1), EINVAL);  // another family
}

TEST(the_limit_of_a_shared_receive_queue_says_nothing_when_it_is_created) {
  Device device;
  if (device.rxe) return;  // rxe accepts it
  ibv_srq* srq = makeSrq(device, 16, 1, 100000);
  CHECK(srq != nullptr);
  ibv_srq_attr attributes{};
  EQUAL(ibv_query_srq(srq, &attributes), 0);
  EQUAL(attributes.srq_limit, 0);
  EQUAL(ibv_destroy_srq(srq), 0);
  srq = makeSrq(device, 16, 1, 16);
  CHECK(srq != nullptr);
  {
    Pair pair(device, IBV_QPT_RC, srq);
    EQUAL(receive(srq, {device.sge(8192, 64)}), 0);
    EQUAL(pair.a.send({device.sge(0, 8)}), 0);
    EQUAL(pair.b.receives.wait().status, IBV_WC_SUCCESS);
    CHECK(!hasAsyncEvent(device.context));
    // An armed one reports its limit.
    attributes.srq_limit = 1;
    EQUAL(receive(srq, {device.sge(8192, 64)}), 0);
    EQUAL(ibv_modify_srq(srq, &attributes, IBV_SRQ_LIMIT), 0);
    EQUAL(pair.a.send({device.sge(0, 8)}), 0);
    EQUAL(nextEvent(device.context), IBV_EVENT_SRQ_LIMIT_REACHED);
  }
  EQUAL(ibv_destroy_srq(srq), 0);
}

TEST(a_shared_receive_queue_has_as_many_elements_as_the_device_says) {
  Device device;
  ibv_device_attr limits{};
  EQUAL(ibv_query_device(device.context, &limits), 0);
  const auto most = static_cast<uint32_t>(limits.max_srq_sge);
  if (!device.rxe) EQUAL(most, 31);
  CHECK(makeSrq(device, 4, most + 1) == nullptr);
  ibv_srq* srq = makeSrq(device, 4, most);
  CHECK(srq != nullptr);
  {
    Pair pair(device, IBV_QPT_RC, srq);
    std::vector<ibv_sge> sges;
    for (uint32_t i = 0; i < most; ++i) sges.push_back(device.sge(8192 + 64 * i, 3));
    EQUAL(receive(srq, sges), 0);
    const Bytes sent = pattern(3 * most);
    EQUAL(pair.a.send({device.put(sent)}), 0);
    const ibv_wc wc = pair.b.receives.wait();
    EQUAL(wc.status, IBV_WC_SUCCESS);
    EQUAL(wc.byte_len, 3 * most);
    for (uint32_t i = 0; i < most; ++i) BYTES(device.memory + 8192 + 64 * i, sent.data() + 3 * i, 3);
  }
  EQUAL(ibv_destroy_srq(srq), 0);
}

TEST(a_handle_that_nobody_has_is_not_there_to_be_destroyed) {
  Device device;
  ibv_ah_attr address = device.toItself();
  ibv_pd* pd = ibv_alloc_pd(device.context);
  unknown(&pd->handle, [&] { return ibv_dealloc_pd(pd); });
  ibv_ah* ah = ibv_create_ah(device.pd, &address);
  unknown(&ah->handle, [&] { return ibv_destroy_ah(ah); });
  ibv_mr* mr = ibv_reg_mr(device.pd, device.memory, 64, 0);
  unknown(&mr->handle, [&] { return ibv_dereg_mr(mr); });
  ibv_mw* mw = ibv_alloc_mw(device.pd, IBV_MW_TYPE_1);
  unknown(&mw->handle, [&] { return ibv_dealloc_mw(mw); });
  ibv_srq* srq = makeSrq(device);
  unknown(&srq->handle, [&] { return ibv_destroy_srq(srq); });
  ibv_cq* cq = ibv_create_cq(device.context, 4, nullptr, nullptr, 0);
  {
    ibv_qp_init_attr attributes{};
    attributes.send_cq = attributes.recv_cq = cq;
    attributes.cap = {1, 1, 1, 1, 0};
    attributes.qp_type = IBV_QPT_RC;
    ibv_qp* qp = ibv_create_qp(device.pd, &attributes);
    unknown(&qp->handle, [&] { return ibv_destroy_qp(qp); });
  }
  if (!device.rxe) {
    ibv_wq_init_attr attributes{};
    attributes.wq_type = IBV_WQT_RQ;
    attributes.max_wr = attributes.max_sge = 1;
    attributes.pd = device.pd;
    attributes.cq = cq;
    ibv_wq* wq = ibv_create_wq(device.context, &attributes);
    CHECK(wq != nullptr);
    ibv_rwq_ind_table_init_attr tableAttributes{0, &wq, 0};
    ibv_rwq_ind_table* table = ibv_create_rwq_ind_table(device.context, &tableAttributes);
    CHECK(table != nullptr);
    unknown(reinterpret_cast<uint32_t*>(&table->ind_tbl_handle), [&] { return ibv_destroy_rwq_ind_table(table); });
    unknown(&wq->handle, [&] { return ibv_destroy_wq(wq); });
  }
  unknown(&cq->handle, [&] { return ibv_destroy_cq(cq); });
}

// umem.c, ib_umem_get: a region without a page is refused, and an empty one inside a page has one.
TEST(an_empty_region_is_refused_at_the_beginning_of_a_page_alone) {
  Device device;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  CHECK(ibv_reg_mr(device.pd, device.memory, 0, IBV_ACCESS_LOCAL_WRITE) == nullptr);
  EQUAL(errno, EINVAL);
  CHECK(ibv_reg_mr(device.pd, device.memory + page, 0, IBV_ACCESS_LOCAL_WRITE) == nullptr);
  EQUAL(errno, EINVAL);
  for (const size_t offset : {size_t{1}, page - 1}) {
    ibv_mr* mr = ibv_reg_mr(device.pd, device.memory + offset, 0, kAll);
    CHECK(mr != nullptr);
    EQUAL(ibv_dereg_mr(mr), 0);
  }
}

namespace {

ibv_pd* keptToTheEnd;

// Runs behind the handlers of exit(3), as those of other libraries may.
__attribute__((destructor)) void freeAtTheEnd() {
  if (keptToTheEnd == nullptr) return;
  const int error = ibv_dealloc_pd(keptToTheEnd);
  if (error != EIO) std::fprintf(stderr, "ibv_dealloc_pd returned %d at the end of the process\n", error);
}

}  // namespace

TEST(commands_of_a_process_that_has_ended_fail) {
  static Device* device = new Device;
  if (device->rxe) return;
  keptToTheEnd = ibv_alloc_pd(device->context);
  CHECK(keptToTheEnd != nullptr);
}
