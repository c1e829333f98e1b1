// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs of the benchmark. A test run gives each repetition the packet that the one before
 * left behind; `bench_begin` makes it the original one again, as another flow, and hands it to
 * the program under test. `bench_begin_listed` does the same with flows of a list.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "cursor.h"
#include "encapsulate.h"
#include "frame.h"
#include "martlet_abi.h"
#include "martlet_bench.h"
#include "parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct martlet_bench);
} bench SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} under_test SEC(".maps");

/* Ends of flows that are no numbers in a row. Mapped: a million are written at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_BENCH_FLOWS);
	__type(key, __u32);
	__type(value, struct martlet_bench_ends);
} listed SEC(".maps");

/* Frames that came back, for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} received SEC(".maps");

/* Knuth's linear congruential generator: two instructions, and its upper bits are good enough. */
static __always_inline __u32 next_flow(struct martlet_bench *state)
{
	state->random = state->random * 6364136223846793005ull + 1442695040888963407ull;
	return (__u32)(state->random >> 40) & state->flow_mask;
}

/* Makes the first 64 bytes the original ones, but of the next flow; returns whether it could. */
static __always_inline int make_anew(struct xdp_md *context, struct martlet_bench *state)
{
	__u32 offset = state->flow_offset & 0x3c;
	struct cursor cursor = cursor_of(context);
	__u64 *words = take(&cursor, 64);
	__be32 *flow, first;

	if (!words)
		return 0;
	for (int i = 0; i < 8; i++)
		words[i] = ((__u64 *)state->frame)[i];
	cursor = cursor_of(context);
	cursor.at += offset + 2; /* IP headers begin 14 bytes after the start */
	flow = take(&cursor, sizeof(*flow));
	if (!flow)
		return 0;
	first = *(__be32 *)(state->frame + offset + 2);
	*flow = bpf_htonl(bpf_ntohl(first) + next_flow(state));
	return 1;
}

/*
 * The same, but with the ends of the flow whose turn it is in the list. In its order, so that the
 * list itself costs no cache misses: who writes it shuffles it.
 */
static __always_inline int make_listed(struct xdp_md *context, struct martlet_bench *state)
{
	__u32 index = (__u32)state->random & state->flow_mask;
	const struct martlet_bench_ends *ends = bpf_map_lookup_elem(&listed, &index);
	struct cursor cursor = cursor_of(context);
	__u64 *words = take(&cursor, 64);
	__u32 *at;

	if (!words || !ends)
		return 0;
	state->random++;
	for (int i = 0; i < 8; i++)
		words[i] = ((__u64 *)state->frame)[i];
	cursor = cursor_of(context);
	cursor.at += ETH_HLEN + offsetof(struct iphdr, saddr);
	at = take(&cursor, 12);
	if (!at)
		return 0;
	for (int i = 0; i < 3; i++)
		at[i] = ((__u32 *)ends)[i];
	return 1;
}

/* Gives the frame its first length again; returns what is to be made of it, if it could. */
static __always_inline struct martlet_bench *make_room(struct xdp_md *context)
{
	__u32 zero = 0;
	struct martlet_bench *state = bpf_map_lookup_elem(&bench, &zero);
	struct cursor cursor = cursor_of(context);
	__u64 bytes = cursor.end - cursor.at;

	if (!state)
		return NULL;
	barrier_var(bytes);
	/* Even by 0 bytes, so that it costs the same whatever the program under test has done. */
	if (bpf_xdp_adjust_head(context, (int)(bytes - state->bytes)))
		return NULL;
	return state;
}

SEC("xdp")
int bench_begin(struct xdp_md *context)
{
	struct martlet_bench *state = make_room(context);

	if (state && make_anew(context, state))
		bpf_tail_call(context, &under_test, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int bench_begin_listed(struct xdp_md *context)
{
	struct martlet_bench *state = make_room(context);

	if (state && make_listed(context, state))
		bpf_tail_call(context, &under_test, 0);
	return XDP_ABORTED;
}

/* The generator of live frames: what a test run begins with it sends to the other end of a veth. */
SEC("xdp")
int bench_send(struct xdp_md *context)
{
	__u32 zero = 0;
	struct martlet_bench *state = bpf_map_lookup_elem(&bench, &zero);

	if (!state || !make_anew(context, state))
		return XDP_ABORTED;
	return (int)bpf_redirect(state->interface, 0);
}

/* Where they come back to. */
SEC("xdp")
int bench_receive(struct xdp_md *context)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&received, &zero);

	(void)context;
	if (count)
		*count += 1;
	return XDP_DROP;
}

/* The yardstick: what every forwarding program has to do at least. */
SEC("xdp")
int bench_swap(struct xdp_md *context)
{
	struct cursor cursor = cursor_of(context);
	struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));
	struct ethhdr before;

	if (!ethernet)
		return XDP_ABORTED;
	before = *ethernet;
	__builtin_memcpy(ethernet->h_dest, before.h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, before.h_dest, ETH_ALEN);
	return XDP_TX;
}

/*
 * The balancer without tables: what it reads of a packet and what it writes, and nothing that it
 * looks up, hashes or counts.
 */
SEC("xdp")
int bench_encapsulate(struct xdp_md *context)
{
	const struct martlet_backend backend = {
		.family = 4,
		.forwarding = MARTLET_IPIP,
		.source.word = {bpf_htonl(0xc0a8ff01)},
		.address.word = {bpf_htonl(0xc0a80001)},
	};
	const struct link_header link = {
		.destination = {2, 0, 0, 0, 0, 0xbb},
		.source = {2, 0, 0, 0, 0, 0xaa},
	};
	struct packet packet = {.bytes = context->data_end - context->data};

	if (parse(context, &packet) != MARTLET_UNDECIDED || packet.kind != PACKET_FLOW ||
	    packet.problem || packet.is_martian)
		return XDP_DROP;
	/* All of it was read to be used. */
	asm volatile("" ::"r"(&packet) : "memory");
	return write_tunnel_frame(context, &packet, &backend, &link, 0) == MARTLET_FORWARD_IPIP
		       ? XDP_TX
		       : XDP_DROP;
}

/* The least that a program can do; what is measured with it is the harness. */
SEC("xdp")
int bench_transmit(struct xdp_md *context)
{
	(void)context;
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
