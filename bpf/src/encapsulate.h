/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A packet inside another one. Looks nothing up, so that the benchmark can have it alone. */
#pragma once

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "checksum.h"
#include "cursor.h"
#include "frame.h"
#include "martlet_abi.h"
#include "parse.h"

#define OUTER_TTL     64     /* RFC 1700 and Linux's default: the tunnel is as long as a path */
#define DONT_FRAGMENT 0x4000 /* RFC 791 §3.1; without fragments the identification may be 0 */

/* Which bits of a flow's hash make the flows of one tunnel different; the slot has the first. */
#define GUE_SOURCE_PORT(hash) ((__u16)(0xc000 | ((hash) >> 16 & 0x3fff)))
#define SOURCE_ENTROPY(hash)  ((__be32)((hash) >> 32))
#define FLOW_LABEL(hash)      ((__u32)((hash) >> 40) & 0xfffff)

/* The number that stands for the packet in an outer IP header: RFC 2003 §3.1, RFC 2473 §3.1. */
static __always_inline __u8 protocol_of(const struct packet *packet)
{
	return packet->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
}

/* An outer IPv4 header: RFC 2003, RFC 4213 §3. ECN is copied: RFC 6040 §4.1. */
static __always_inline int write_outer_ipv4(struct cursor *cursor, const struct packet *packet,
					    const struct martlet_backend *backend, __u64 hash,
					    __u8 protocol, __u32 payload)
{
	struct iphdr *ip = take(cursor, sizeof(*ip));
	struct iphdr header; /* in registers: of the bytes just written it would be summed later */

	if (!ip)
		return 0;
	header = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tos = packet->traffic_class,
		.tot_len = bpf_htons(payload + sizeof(*ip)),
		.frag_off = bpf_htons(DONT_FRAGMENT),
		.ttl = OUTER_TTL,
		.protocol = protocol,
		.saddr = backend->source.word[0] | (SOURCE_ENTROPY(hash) & backend->source_entropy),
		.daddr = backend->address.word[0],
	};
	header.check = ipv4_checksum(&header);
	*ip = header;
	return 1;
}

/* An outer IPv6 header: RFC 2473; the flow label as RFC 6438 wants it. */
static __always_inline int write_outer_ipv6(struct cursor *cursor, const struct packet *packet,
					    const struct martlet_backend *backend, __u64 hash,
					    __u8 protocol, __u32 payload)
{
	struct ipv6hdr *ip = take(cursor, sizeof(*ip));
	struct martlet_address source = backend->source;
	__u32 label = FLOW_LABEL(hash);

	if (!ip)
		return 0;
	source.word[3] |= SOURCE_ENTROPY(hash) & backend->source_entropy;
	*ip = (struct ipv6hdr){
		.version = 6,
		.priority = packet->traffic_class >> 4,
		.flow_lbl = {(__u8)(packet->traffic_class << 4 | label >> 16), (__u8)(label >> 8),
			     (__u8)label},
		.payload_len = bpf_htons(payload),
		.nexthdr = protocol,
		.hop_limit = OUTER_TTL,
	};
	__builtin_memcpy(&ip->saddr, &source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &backend->address, sizeof(ip->daddr));
	return 1;
}

/* Writes what comes between the link header and the packet; returns whether there was room. */
static __always_inline int write_outer(struct cursor *cursor, const struct packet *packet,
				       const struct martlet_backend *backend, __u64 hash)
{
	int is_gue = backend->forwarding == MARTLET_GUE;
	__u32 payload = packet->ip_bytes + (is_gue ? sizeof(struct udphdr) : 0);
	__u8 protocol = is_gue ? IPPROTO_UDP : protocol_of(packet);
	struct udphdr *udp;

	if (backend->family == 4) {
		if (!write_outer_ipv4(cursor, packet, backend, hash, protocol, payload))
			return 0;
	} else {
		if (!write_outer_ipv6(cursor, packet, backend, hash, protocol, payload))
			return 0;
	}
	if (!is_gue)
		return 1;
	udp = take(cursor, sizeof(*udp));
	if (!udp)
		return 0;
	*udp = (struct udphdr){
		.source = bpf_htons(GUE_SOURCE_PORT(hash)),
		.dest = backend->tunnel_port,
		.len = bpf_htons(payload),
	};
	return 1;
}

static __always_inline __u32 outer_bytes(const struct martlet_backend *backend)
{
	__u32 ip = backend->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	switch (backend->forwarding) {
	case MARTLET_IPIP:
		return ip;
	case MARTLET_GUE:
		return ip + sizeof(struct udphdr);
	default:
		return 0;
	}
}

/* The packet inside another one. */
static __always_inline enum martlet_verdict
write_tunnel_frame(struct xdp_md *context, const struct packet *packet,
		   const struct martlet_backend *backend, const struct link_header *link,
		   __u64 hash)
{
	int growth = (int)(outer_bytes(backend) + link_header_bytes(link) - packet->link_bytes);
	struct cursor cursor;

	if (bpf_xdp_adjust_head(context, -growth))
		return MARTLET_DROP_NO_ROOM;
	cursor = cursor_of(context);
	if (!write_link_header(&cursor, link, type_of_family(backend->family)) ||
	    !write_outer(&cursor, packet, backend, hash))
		return MARTLET_DROP_TRUNCATED;
	return backend->forwarding == MARTLET_GUE ? MARTLET_FORWARD_GUE : MARTLET_FORWARD_IPIP;
}
