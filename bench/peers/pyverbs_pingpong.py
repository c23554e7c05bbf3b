#!/usr/bin/python3
"""What pingpong.c does, with pyverbs (Debian: python3-pyverbs): RC, two queue pairs in one process, busy polling.

  pyverbs_pingpong.py a=rxe0 b=rxe1 size=64 inline=64
  latency 1000 100  ->  [p50, p99, mean]   ns of a round trip, over 1000 after 100 untimed
  poll 100000 1000  ->  [ns]               of one CQ.poll that finds nothing

Work requests are built once and posted many times, and the hot loops hold what they use in local names: as a good
Python programmer would write it.
"""
import gc
import json
import sys
from time import perf_counter_ns

import pyverbs.enums as e
from pyverbs.addr import AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

POLL_BATCH = 32
PAGE = 4096
SEND, RECEIVE = 0, 1


def parse(words):
    options = {"gid-a": -1, "gid-b": -1, "size": 64, "inline": 0, "send-depth": 16, "receive-depth": 16}
    for word in words:
        key, _, value = word.partition("=")
        if key == "type":
            if value != "RC":
                sys.exit(f"type {value}: this peer speaks RC only")
        elif key in ("a", "b"):
            options[key] = value
        elif key in options:
            options[key] = int(value)
        else:
            sys.exit(f"unknown option {word}")
    return options


class End:
    def __init__(self, options, side):
        self.context = Context(name=options[side])
        self.port = self.context.query_port(1)
        self.gid_index = options[f"gid-{side}"]
        if self.gid_index < 0:
            entries = [entry for entry in self.context.query_gid_table(512) if entry.gid_type == e.IBV_GID_TYPE_ROCE_V2]
            self.gid_index = entries[0].gid_index if entries else 0
        self.gid = self.context.query_gid(1, self.gid_index)
        self.pd = PD(self.context)
        size = options["size"]
        half = (size + PAGE - 1) // PAGE * PAGE
        self.mr = MR(self.pd, 2 * half, e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE)
        self.half = half
        self.cq = CQ(self.context, options["send-depth"] + options["receive-depth"])
        cap = QPCap(max_send_wr=options["send-depth"], max_recv_wr=options["receive-depth"],
                    max_inline_data=options["inline"])
        self.qp = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=self.cq, rcq=self.cq, cap=cap), QPAttr(port_num=1))
        flags = e.IBV_SEND_SIGNALED | (e.IBV_SEND_INLINE if size <= options["inline"] else 0)
        self.send_sge = SGE(self.mr.buf, size, self.mr.lkey)
        self.receive_sge = SGE(self.mr.buf + half, size, self.mr.lkey)
        self.send = SendWR(wr_id=SEND, num_sge=1, sg=[self.send_sge], opcode=e.IBV_WR_SEND, send_flags=flags)
        self.receive = RecvWR(wr_id=RECEIVE, num_sge=1, sg=[self.receive_sge])
        self.unretired = 0

    def connect(self, other):
        route = GlobalRoute(dgid=other.gid, sgid_index=self.gid_index, hop_limit=64)
        attr = QPAttr(port_num=1)
        attr.qp_access_flags = e.IBV_ACCESS_REMOTE_WRITE
        attr.path_mtu = min(self.port.active_mtu, other.port.active_mtu)
        attr.dest_qp_num = other.qp.qp_num
        attr.ah_attr = AHAttr(dlid=other.port.lid, port_num=1, is_global=1, gr=route)
        attr.max_dest_rd_atomic = attr.max_rd_atomic = 1
        attr.min_rnr_timer = 12
        attr.timeout, attr.retry_cnt, attr.rnr_retry = 14, 6, 6
        self.qp.to_rts(attr)


def await_message(end):
    poll = end.cq.poll
    received = 0
    while not received:
        count, completions = poll(POLL_BATCH)
        for completion in completions:
            if completion.status != e.IBV_WC_SUCCESS:
                sys.exit(f"completion failed: status {completion.status}, vendor error {completion.vendor_err}")
            if completion.wr_id == RECEIVE:
                received += 1
            else:
                end.unretired -= 1


def pingpong(a, b, count):
    """Returns count + 1 readings of the clock, one a round trip."""
    stamps = [0] * (count + 1)
    send_a, send_b = a.qp.post_send, b.qp.post_send
    receive_a, receive_b = a.qp.post_recv, b.qp.post_recv
    wr_send_a, wr_send_b, wr_receive_a, wr_receive_b = a.send, b.send, a.receive, b.receive
    for i in range(count):
        stamps[i] = perf_counter_ns()
        send_a(wr_send_a)
        a.unretired += 1
        await_message(b)
        receive_b(wr_receive_b)
        send_b(wr_send_b)
        b.unretired += 1
        await_message(a)
        receive_a(wr_receive_a)
    stamps[count] = perf_counter_ns()
    return stamps


def settle(end):
    while end.unretired:
        count, _ = end.cq.poll(POLL_BATCH)
        end.unretired -= count


def percentile(ordered, percent):
    """Nearest rank, as percentile() in bench/harness/statistics.ts."""
    return ordered[(len(ordered) * percent + 99) // 100 - 1]


def latency(a, b, size, count, warmup):
    latency.round = getattr(latency, "round", 0) % 255 + 1
    data = chr(latency.round % 127 + 1) * size
    a.mr.write(data, size)
    b.mr.write(data, size)
    if warmup:
        pingpong(a, b, warmup)
    stamps = pingpong(a, b, count)
    for end in (a, b):
        settle(end)
        if end.mr.read(size, end.half) != data.encode():
            sys.exit("the bytes that arrived are not those that were sent")
    times = sorted(after - before for before, after in zip(stamps, stamps[1:]))
    return [percentile(times, 50), percentile(times, 99), (stamps[-1] - stamps[0]) / count]


def empty_poll(cq, count):
    poll = cq.poll
    begin = perf_counter_ns()
    for _ in range(count):
        poll(POLL_BATCH)
    end = perf_counter_ns()
    if poll(POLL_BATCH)[0]:
        sys.exit("the completion queue was not empty")
    return (end - begin) / count


def main():
    options = parse(sys.argv[1:])
    a, b = End(options, "a"), End(options, "b")
    a.connect(b)
    b.connect(a)
    for end in (a, b):
        for _ in range(options["receive-depth"]):
            end.qp.post_recv(end.receive)
    gc.disable()  # reference counting frees what the loops make; the collector would only add to the tail
    print("ready", flush=True)
    for line in sys.stdin:
        command, count, warmup = line.split()
        if command == "latency":
            numbers = latency(a, b, options["size"], int(count), int(warmup))
        elif command == "poll":
            empty_poll(a.cq, int(warmup) + 1)
            numbers = [empty_poll(a.cq, int(count))]
        else:
            sys.exit(f"not understood: {line}")
        print(json.dumps(numbers), flush=True)
    for end in (a, b):
        end.qp.modify(QPAttr(qp_state=e.IBV_QPS_ERR), e.IBV_QP_STATE)


main()
