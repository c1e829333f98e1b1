// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs of the benchmark. A test run gives each repetition the packet that the one before
 * left behind; `bench_begin` makes it the original one again, as another flow, and hands it to
 * the program under test.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "cursor.h"
#include "martlet_bench.h"

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

/* Knuth's linear congruential generator: two instructions, and its upper bits are good enough. */
static __always_inline __u32 next_flow(struct martlet_bench *state)
{
	state->random = state->random * 6364136223846793005ull + 1442695040888963407ull;
	return (__u32)(state->random >> 40) & state->flow_mask;
}

SEC("xdp")
int bench_begin(struct xdp_md *context)
{
	__u32 zero = 0;
	struct martlet_bench *state = bpf_map_lookup_elem(&bench, &zero);
	struct cursor cursor = cursor_of(context);
	int surplus;
	__u64 *words;
	__be32 *flow;

	if (!state)
		return XDP_ABORTED;
	surplus = (int)((__u32)(cursor.end - cursor.at) - state->bytes);
	if (surplus != 0 && bpf_xdp_adjust_head(context, surplus))
		return XDP_ABORTED;
	cursor = cursor_of(context);
	words = take(&cursor, 64);
	if (!words)
		return XDP_ABORTED;
	for (int i = 0; i < 8; i++)
		words[i] = ((__u64 *)state->frame)[i];
	cursor = cursor_of(context);
	cursor.at += state->flow_offset & 0x3f;
	flow = take(&cursor, sizeof(*flow));
	if (!flow)
		return XDP_ABORTED;
	*flow = bpf_htonl(bpf_ntohl(*flow) + next_flow(state));
	bpf_tail_call(context, &under_test, 0);
	return XDP_ABORTED;
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

/* The least that a program can do; what is measured with it is the harness. */
SEC("xdp")
int bench_transmit(struct xdp_md *context)
{
	(void)context;
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
