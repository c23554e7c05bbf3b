// A device really has as many objects of each kind as it announces (ibv_query_device(3)), for all contexts together.
// Run with IBVERBS_SOFT='loop?maxObjects=5'.
#include "verbs.h"

namespace {

constexpr size_t kMost = 5;

// Creates until it fails with ENOMEM, `left` objects later. A destroyed object makes room for another.
template <typename T, typename Create, typename Destroy>
void exactly(size_t left, Create create, Destroy destroy) {
  std::vector<T*> made;
  for (T* one; (one = create()) != nullptr;) {
    made.push_back(one);
    CHECK(made.size() <= left);
  }
  EQUAL(errno, ENOMEM);
  EQUAL(made.size(), left);
  EQUAL(destroy(made.back()), 0);
  made.back() = create();
  CHECK(made.back() != nullptr);
  CHECK(create() == nullptr);
  for (T* one : made) EQUAL(destroy(one), 0);
}

}  // namespace

TEST(so_many_of_each_and_no_more) {
  Device device;
  ibv_device_attr_ex limits{};
  EQUAL(ibv_query_device_ex(device.context, nullptr, &limits), 0);
  const ibv_device_attr& base = limits.orig_attr;
  for (const int each : {base.max_pd, base.max_mr, base.max_mw, base.max_ah, base.max_cq, base.max_qp, base.max_srq,
                         base.max_raw_ethy_qp, static_cast<int>(limits.max_wq_type_rq),
                         static_cast<int>(limits.rss_caps.max_rwq_indirection_tables)}) {
    EQUAL(each, kMost);
  }
  ibv_context* context = device.context;
  ibv_pd* pd = device.pd;
  exactly<ibv_pd>(kMost - 1, [&] { return ibv_alloc_pd(context); }, ibv_dealloc_pd);
  exactly<ibv_mr>(
      kMost - 1, [&] { return ibv_reg_mr(pd, device.memory, 64, 0); }, [](ibv_mr* mr) { return ibv_dereg_mr(mr); });
  exactly<ibv_mw>(
      kMost, [&] { return ibv_alloc_mw(pd, IBV_MW_TYPE_2); }, [](ibv_mw* mw) { return ibv_dealloc_mw(mw); });
  ibv_ah_attr address = device.toItself();
  exactly<ibv_ah>(kMost, [&] { return ibv_create_ah(pd, &address); }, ibv_destroy_ah);
  exactly<ibv_cq>(kMost, [&] { return ibv_create_cq(context, 4, nullptr, nullptr, 0); }, ibv_destroy_cq);
  ibv_srq_init_attr shared{};
  shared.attr = {4, 1, 0};
  exactly<ibv_srq>(kMost, [&] { return ibv_create_srq(pd, &shared); }, ibv_destroy_srq);

  ibv_cq* cq = ibv_create_cq(context, 64, nullptr, nullptr, 0);
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = cq;
  attributes.cap = {1, 1, 1, 1, 0};
  attributes.qp_type = IBV_QPT_RC;
  exactly<ibv_qp>(kMost, [&] { return ibv_create_qp(pd, &attributes); }, ibv_destroy_qp);
  attributes.qp_type = IBV_QPT_RAW_PACKET;
  exactly<ibv_qp>(kMost, [&] { return ibv_create_qp(pd, &attributes); }, ibv_destroy_qp);
  ibv_wq_init_attr work{};
  work.wq_type = IBV_WQT_RQ;
  work.max_wr = work.max_sge = 1;
  work.pd = pd;
  work.cq = cq;
  exactly<ibv_wq>(kMost, [&] { return ibv_create_wq(context, &work); }, ibv_destroy_wq);
  ibv_wq* wq = ibv_create_wq(context, &work);
  ibv_rwq_ind_table_init_attr table{0, &wq, 0};
  exactly<ibv_rwq_ind_table>(
      kMost, [&] { return ibv_create_rwq_ind_table(context, &table); }, ibv_destroy_rwq_ind_table);
  EQUAL(ibv_destroy_wq(wq), 0);
  EQUAL(ibv_destroy_cq(cq), 0);
}

TEST(contexts_share_what_the_device_has_and_a_closed_one_gives_back) {
  for (int round = 0; round < 3; ++round) {
    Device device;
    ibv_context* other = ibv_open_device(device.context->device);
    CHECK(other != nullptr);
    for (size_t i = 0; i < kMost - 1; ++i) CHECK(ibv_alloc_pd(other) != nullptr);
    CHECK(ibv_alloc_pd(device.context) == nullptr);
    EQUAL(errno, ENOMEM);
    EQUAL(ibv_close_device(other), 0);  // with all its children
    ibv_pd* pd = ibv_alloc_pd(device.context);
    CHECK(pd != nullptr);
    EQUAL(ibv_dealloc_pd(pd), 0);
  }
}

// A creation that fails half-way takes no place.
TEST(what_is_refused_takes_no_place) {
  Device device;
  for (int i = 0; i < 20; ++i) {
    CHECK(ibv_reg_mr(device.pd, device.memory, 0, 0) == nullptr);
    ibv_ah_attr address = device.toItself();
    address.grh.dgid = {{0}};
    CHECK(ibv_create_ah(device.pd, &address) == nullptr);
  }
  exactly<ibv_mr>(
      kMost - 1, [&] { return ibv_reg_mr(device.pd, device.memory, 64, 0); },
      [](ibv_mr* mr) { return ibv_dereg_mr(mr); });
  ibv_ah_attr address = device.toItself();
  exactly<ibv_ah>(kMost, [&] { return ibv_create_ah(device.pd, &address); }, ibv_destroy_ah);
}
