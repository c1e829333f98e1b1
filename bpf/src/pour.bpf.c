// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Adds the counters of one map to those of another, and leaves 0 where it took them: for tables
 * that a new build has replaced. The controller runs it on each CPU for the counters of that CPU,
 * where nobody else writes them: so no packet goes uncounted, though packets are being counted.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} from SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} into SEC(".maps");

/* How many words of a value both of them have. */
const volatile __u32 words = 1;

/* The packet that it is run on. */
struct pouring {
	__u32 cpu;
	__u32 first;
	__u32 count; /* of entries */
	__u32 unused;
};

static long pour_entry(__u32 number, struct pouring *pouring)
{
	__u32 index = pouring->first + number;
	__u64 *source = bpf_map_lookup_percpu_elem(&from, &index, pouring->cpu);
	__u64 *target = bpf_map_lookup_percpu_elem(&into, &index, pouring->cpu);

	if (!source || !target)
		return 1;
	for (__u32 word = 0; word < words; word++) {
		if (!source[word])
			continue;
		/* In one instruction: a packet may be counted on this CPU at any moment. */
		__sync_fetch_and_add(&target[word], source[word]);
		source[word] = 0;
	}
	return 0;
}

SEC("xdp")
int martlet_pour(struct xdp_md *context)
{
	const struct pouring *packet = (void *)(long)context->data;
	struct pouring pouring;

	if ((void *)(packet + 1) > (void *)(long)context->data_end)
		return XDP_ABORTED;
	pouring = *packet;
	return bpf_loop(pouring.count, pour_entry, &pouring, 0) == pouring.count ? XDP_DROP
										: XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
