/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Getting a packet to its backend. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "checksum.h"
#include "cursor.h"
#include "maps.h"
#include "parse.h"

#define OUTER_TTL     64     /* RFC 1700 and Linux's default: the tunnel is as long as a path */
#define DONT_FRAGMENT 0x4000 /* RFC 791 §3.1; without fragments the identification may be 0 */

/* One reading of the next hop, which the controller may replace at any moment. */
union next_hop {
	__u64 word;
	struct martlet_next_hop parts;
};

static __always_inline void address_frame(struct ethhdr *ethernet, const union next_hop *next_hop,
					  const struct martlet_egress *egress, __be16 type)
{
	__builtin_memcpy(ethernet->h_dest, next_hop->parts.mac, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, egress->mac, ETH_ALEN);
	ethernet->h_proto = type;
}

/* The number that stands for the packet in an outer header: RFC 2003 §3.1, RFC 2473 §3.1. */
static __always_inline __u8 protocol_of(const struct packet *packet)
{
	return packet->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
}

/* Puts the packet into an IPv4 packet: RFC 2003, RFC 4213 §3. ECN is copied: RFC 6040 §4.1. */
static __always_inline enum martlet_verdict
encapsulate_in_ipv4(struct xdp_md *context, const struct packet *packet,
		    const struct martlet_backend *backend, const union next_hop *next_hop,
		    const struct martlet_egress *egress)
{
	struct cursor cursor;
	struct ethhdr *ethernet;
	struct iphdr *ip;

	if (bpf_xdp_adjust_head(context, -(int)sizeof(*ip)))
		return MARTLET_DROP_NO_ROOM;
	cursor = cursor_of(context);
	ethernet = take(&cursor, sizeof(*ethernet));
	ip = take(&cursor, sizeof(*ip));
	if (!ethernet || !ip)
		return MARTLET_DROP_TRUNCATED;
	address_frame(ethernet, next_hop, egress, bpf_htons(ETH_P_IP));
	*ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tos = packet->traffic_class,
		.tot_len = bpf_htons(packet->ip_bytes + sizeof(*ip)),
		.frag_off = bpf_htons(DONT_FRAGMENT),
		.ttl = OUTER_TTL,
		.protocol = protocol_of(packet),
		.saddr = backend->source.word[0],
		.daddr = backend->address.word[0],
	};
	ip->check = ipv4_checksum(ip);
	return MARTLET_FORWARD_IPIP;
}

/* Puts the packet into an IPv6 packet: RFC 2473. */
static __always_inline enum martlet_verdict
encapsulate_in_ipv6(struct xdp_md *context, const struct packet *packet,
		    const struct martlet_backend *backend, const union next_hop *next_hop,
		    const struct martlet_egress *egress)
{
	struct cursor cursor;
	struct ethhdr *ethernet;
	struct ipv6hdr *ip;

	if (bpf_xdp_adjust_head(context, -(int)sizeof(*ip)))
		return MARTLET_DROP_NO_ROOM;
	cursor = cursor_of(context);
	ethernet = take(&cursor, sizeof(*ethernet));
	ip = take(&cursor, sizeof(*ip));
	if (!ethernet || !ip)
		return MARTLET_DROP_TRUNCATED;
	address_frame(ethernet, next_hop, egress, bpf_htons(ETH_P_IPV6));
	*ip = (struct ipv6hdr){
		.version = 6,
		.priority = packet->traffic_class >> 4,
		.flow_lbl = { (__u8)(packet->traffic_class << 4) },
		.payload_len = bpf_htons(packet->ip_bytes),
		.nexthdr = protocol_of(packet),
		.hop_limit = OUTER_TTL,
	};
	__builtin_memcpy(&ip->saddr, &backend->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &backend->address, sizeof(ip->daddr));
	return MARTLET_FORWARD_IPIP;
}

static __always_inline enum martlet_verdict rewrite_mac(struct xdp_md *context,
							const union next_hop *next_hop,
							const struct martlet_egress *egress)
{
	struct cursor cursor = cursor_of(context);
	struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));

	if (!ethernet)
		return MARTLET_DROP_TRUNCATED;
	address_frame(ethernet, next_hop, egress, ethernet->h_proto);
	return MARTLET_FORWARD_L2_DSR;
}

static __always_inline __u32 outer_bytes(const struct martlet_backend *backend)
{
	if (backend->forwarding != MARTLET_IPIP)
		return 0;
	return backend->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/* What becomes of a packet, and by which interface it leaves if it is forwarded. */
struct forwarding {
	enum martlet_verdict verdict;
	__u32 interface;
	int is_redirected_back; /* even if that is the interface it came in by */
};

static __always_inline struct forwarding forward(struct xdp_md *context,
						 const struct packet *packet,
						 const struct martlet_backend *backend)
{
	union next_hop next_hop = { .word = *(const volatile __u64 *)&backend->next_hop };
	__u32 index = next_hop.parts.egress;
	const struct martlet_egress *egress;
	struct forwarding result = {};

	if (index == 0) {
		result.verdict = MARTLET_DROP_NO_NEXT_HOP;
		return result;
	}
	egress = bpf_map_lookup_elem(&egresses, &index);
	if (!egress) {
		result.verdict = MARTLET_DROP_BROKEN_TABLE;
		return result;
	}
	result.interface = egress->interface;
	result.is_redirected_back = egress->flags & MARTLET_EGRESS_REDIRECT_BACK;
	if (packet->ip_bytes + outer_bytes(backend) > egress->mtu)
		result.verdict = MARTLET_DROP_TOO_BIG;
	else if (backend->forwarding == MARTLET_L2_DSR)
		result.verdict = rewrite_mac(context, &next_hop, egress);
	else if (backend->family == 4)
		result.verdict = encapsulate_in_ipv4(context, packet, backend, &next_hop, egress);
	else
		result.verdict = encapsulate_in_ipv6(context, packet, backend, &next_hop, egress);
	return result;
}
