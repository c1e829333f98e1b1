// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The other end of the tunnel, on a backend: takes IPv4 and IPv6 packets out of IPv4 and IPv6
 * packets that are addressed to this host, and leaves everything else to the kernel. For hosts
 * whose kernel has no tunnel devices, or where an interface for each kind is a nuisance.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "count.h"
#include "cursor.h"
#include "martlet_abi.h"
#include "tunnel.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MARTLET_LOCAL_ADDRESS_LIMIT);
	__type(key, struct martlet_local_address);
	__type(value, __u32); /* the UDP port of GUE, in network order; 0: no GUE */
} local_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MARTLET_DECAPSULATION_COUNT);
	__type(key, __u32);
	__type(value, struct martlet_count);
} decapsulation_counters SEC(".maps");

/* Shortens the frame by the outer headers and puts its Ethernet header before the inner packet. */
static __always_inline enum martlet_decapsulation
strip(struct xdp_md *context, const struct tunnel *tunnel, enum martlet_decapsulation success)
{
	struct cursor cursor = cursor_of(context);
	struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));
	struct ethhdr saved;

	if (!ethernet)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	saved = *ethernet;
	saved.h_proto =
		tunnel->protocol == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	if (bpf_xdp_adjust_head(context, (int)tunnel->outer))
		return MARTLET_DROP_TUNNEL_NO_ROOM;
	cursor = cursor_of(context);
	ethernet = take(&cursor, sizeof(*ethernet));
	if (!ethernet)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	*ethernet = saved;
	return success;
}

static __always_inline enum martlet_decapsulation decapsulate(struct xdp_md *context)
{
	struct cursor cursor = cursor_of(context);
	struct tunnel tunnel = {};
	enum martlet_decapsulation verdict = parse_tunnel(&cursor, &tunnel);
	enum martlet_decapsulation success;
	const __u32 *gue_port;

	if (verdict != MARTLET_UNDECAPSULATED)
		return verdict;
	gue_port = bpf_map_lookup_elem(&local_addresses, &tunnel.destination);
	if (!gue_port)
		return MARTLET_PASS_NOT_ADDRESSED;
	success = tunnel.protocol == IPPROTO_IPIP ? MARTLET_DECAPSULATED_IPV4
						  : MARTLET_DECAPSULATED_IPV6;
	if (tunnel.protocol == IPPROTO_UDP) {
		success = MARTLET_DECAPSULATED_GUE;
		verdict = parse_gue(&cursor, &tunnel, (__be16)*gue_port);
		if (verdict != MARTLET_UNDECAPSULATED)
			return verdict;
	}
	verdict = check_inner(&cursor, &tunnel);
	if (verdict != MARTLET_UNDECAPSULATED)
		return verdict;
	return strip(context, &tunnel, success);
}

SEC("xdp")
int martlet_decap(struct xdp_md *context)
{
	__u32 bytes = context->data_end - context->data;
	enum martlet_decapsulation verdict = decapsulate(context);

	count(&decapsulation_counters, verdict, bytes);
	return (int)verdict >= MARTLET_DECAPSULATION_FIRST_DROP ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
