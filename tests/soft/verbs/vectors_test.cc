// Completion vectors (ibv_create_cq(3), comp_vector): as many as the context tells, each of which raises events.
#include "verbs.h"

TEST(each_completion_vector_raises_events_and_there_is_none_beyond) {
  Device device;
  const int vectors = device.context->num_comp_vectors;
  CHECK(vectors >= (device.rxe ? 1 : 2));
  for (int vector = 0; vector < vectors; ++vector) {
    ibv_comp_channel* channel = ibv_create_comp_channel(device.context);
    ibv_cq* cq = ibv_create_cq(device.context, 4, nullptr, channel, vector);
    CHECK(cq != nullptr);
    ibv_qp_init_attr attributes{};
    attributes.send_cq = attributes.recv_cq = cq;
    attributes.cap = {1, 1, 1, 1, 0};
    attributes.qp_type = IBV_QPT_RC;
    ibv_qp* qp = ibv_create_qp(device.pd, &attributes);
    CHECK(qp != nullptr);
    ibv_qp_attr state{};
    state.qp_state = IBV_QPS_INIT;
    state.port_num = 1;
    EQUAL(ibv_modify_qp(qp, &state, IBV_QP_STATE | IBV_QP_PORT | IBV_QP_PKEY_INDEX | IBV_QP_ACCESS_FLAGS), 0);
    ibv_sge sge = device.sge(0, 64);
    ibv_recv_wr request{}, *bad;
    request.sg_list = &sge;
    request.num_sge = 1;
    EQUAL(ibv_post_recv(qp, &request, &bad), 0);
    EQUAL(ibv_req_notify_cq(cq, 0), 0);
    state.qp_state = IBV_QPS_ERR;
    EQUAL(ibv_modify_qp(qp, &state, IBV_QP_STATE), 0);
    ibv_cq* raised = nullptr;
    void* context;
    EQUAL(ibv_get_cq_event(channel, &raised, &context), 0);
    CHECK(raised == cq);
    ibv_ack_cq_events(cq, 1);
    EQUAL(ibv_destroy_qp(qp), 0);
    EQUAL(ibv_destroy_cq(cq), 0);
    EQUAL(ibv_destroy_comp_channel(channel), 0);
  }
  CHECK(ibv_create_cq(device.context, 4, nullptr, nullptr, vectors) == nullptr);
  EQUAL(errno, EINVAL);
  CHECK(ibv_create_cq(device.context, 4, nullptr, nullptr, -1) == nullptr);
}
