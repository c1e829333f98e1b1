/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Getting a packet to its backend. */
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
#include "maps.h"
#include "nat.h"
#include "parse.h"
#include "reply.h"
#include "select.h"
#include "service.h"
#include "translate.h"
#include "verify.h"

#define OUTER_TTL     64     /* RFC 1700 and Linux's default: the tunnel is as long as a path */
#define DONT_FRAGMENT 0x4000 /* RFC 791 §3.1; without fragments the identification may be 0 */

/* Which bits of a flow's hash make the flows of one tunnel different; the slot has the first. */
#define GUE_SOURCE_PORT(hash) ((__u16)(0xc000 | ((hash) >> 16 & 0x3fff)))
#define SOURCE_ENTROPY(hash)  ((__be32)((hash) >> 32))
#define FLOW_LABEL(hash)      ((__u32)((hash) >> 40) & 0xfffff)

/* What becomes of a packet, and by which interface it leaves if it is forwarded. */
struct forwarding {
	enum martlet_verdict verdict;
	__u32 interface;
	int is_redirected_back; /* even if that is the interface it came in by */
};

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

/* One hop less to live; returns whether the header was there. */
static __always_inline int count_hop(struct cursor *cursor, __u8 family)
{
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;

	if (family == 4) {
		ipv4 = take(cursor, sizeof(*ipv4));
		if (ipv4)
			decrement_ttl(ipv4);
		return ipv4 != NULL;
	}
	ipv6 = take(cursor, sizeof(*ipv6));
	if (ipv6)
		ipv6->hop_limit--;
	return ipv6 != NULL;
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

/* The packet as it is, one hop older, in a frame with another link header. */
static __always_inline enum martlet_verdict write_routed_frame(struct xdp_md *context,
							       const struct packet *packet,
							       const struct link_header *link,
							       enum martlet_verdict verdict)
{
	int growth = (int)(link_header_bytes(link) - packet->link_bytes);
	struct cursor cursor;

	if (growth != 0 && bpf_xdp_adjust_head(context, -growth))
		return MARTLET_DROP_NO_ROOM;
	cursor = cursor_of(context);
	if (!write_link_header(&cursor, link, type_of_family(packet->family)) ||
	    !count_hop(&cursor, packet->family))
		return MARTLET_DROP_TRUNCATED;
	return verdict;
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

/* The ends that the packets of a flow have on the way to its backend. */
static __always_inline int ends_towards(const struct packet *packet,
					const struct martlet_backend *backend,
					const struct choice *choice, struct ends *ends)
{
	__u32 address = NAT_ADDRESS(choice->nat);
	const struct martlet_address *source;

	*ends = (struct ends){
		.source = source_of(packet),
		.destination = address_of(backend),
		.source_port = source_port_of(packet),
		.destination_port = backend->port ? backend->port : destination_port_of(packet),
		.hides_routers = choice->nat != 0,
	};
	if (choice->nat == 0)
		return 1;
	source = bpf_map_lookup_elem(&nat_sources, &address);
	if (!source || !(source->word[0] | source->word[2]))
		return 0;
	ends->source = *source;
	ends->source_port = bpf_htons((__u16)choice->nat);
	ends->identification = (__u16)(choice->hash >> MARTLET_NAT_TAG_SHIFT);
	return 1;
}

VERIFIED_ALONE enum martlet_verdict translate_and_write(struct xdp_md *context,
							const struct packet *packet,
							const struct martlet_backend *backend,
							const struct link_header *link,
							const struct choice *choice)
{
	struct ends ends = {};

	if (!packet || !backend || !link || !choice)
		return MARTLET_DROP_BROKEN_TABLE;
	if (backend->family != packet->family ||
	    (backend->forwarding == MARTLET_FULL_NAT) != (choice->nat != 0) ||
	    !ends_towards(packet, backend, choice, &ends))
		return MARTLET_DROP_BROKEN_TABLE;
	if (!translate(context, packet, &ends))
		return MARTLET_DROP_TRUNCATED;
	return write_routed_frame(context, packet, link,
				  choice->nat ? MARTLET_FORWARD_FULL_NAT : MARTLET_FORWARD_NAT);
}

static __always_inline enum martlet_verdict write_frame(struct xdp_md *context,
							const struct packet *packet,
							const struct martlet_backend *backend,
							const struct link_header *link,
							const struct choice *choice)
{
	if (backend->forwarding >= MARTLET_NAT)
		return translate_and_write(context, packet, backend, link, choice);
	if (backend->forwarding == MARTLET_L2_DSR)
		return write_routed_frame(context, packet, link, MARTLET_FORWARD_L2_DSR);
	return write_tunnel_frame(context, packet, backend, link, choice->hash);
}

/* The largest IP packet that gets to the backend, with its outer headers. */
static __always_inline __u32 mtu_towards(const struct martlet_backend *backend,
					 const struct martlet_egress *egress)
{
	__u16 mtu = *(const volatile __u16 *)&backend->mtu;

	return mtu && mtu < egress->mtu ? mtu : egress->mtu;
}

/* The link header of frames by this egress to a neighbour there. */
static __always_inline struct link_header link_to(const __u8 *mac,
						  const struct martlet_egress *egress)
{
	struct link_header link;

	copy_mac(link.destination, mac);
	copy_mac(link.source, egress->mac);
	__builtin_memcpy(link.vlan, egress->vlan, sizeof(link.vlan));
	return link;
}

static __always_inline struct forwarding forward(struct xdp_md *context,
						 const struct packet *packet,
						 const struct martlet_backend *backend,
						 const struct choice *choice)
{
	union next_hop next_hop = {.word = *(const volatile __u64 *)&backend->next_hop};
	__u32 index = next_hop.parts.egress, outer = outer_bytes(backend);
	const struct martlet_egress *egress;
	struct forwarding result = {};
	struct link_header link;
	__u32 mtu;

	if (index == 0) {
		result.verdict = MARTLET_DROP_NO_NEXT_HOP;
		return result;
	}
	egress = bpf_map_lookup_elem(&egresses, &index);
	if (!egress || egress->interface == 0) {
		result.verdict = MARTLET_DROP_BROKEN_TABLE;
		return result;
	}
	if (outer == 0 && packet->ttl <= 1) {
		result.verdict = MARTLET_DROP_EXPIRED;
		return result;
	}
	mtu = mtu_towards(backend, egress);
	if (packet->ip_bytes + outer > mtu) {
		result.verdict = reply_too_big(context, packet, (__u16)(mtu - outer));
		return result;
	}
	result.interface = egress->interface;
	result.is_redirected_back = egress->flags & MARTLET_EGRESS_REDIRECT_BACK;
	link = link_to(next_hop.parts.mac, egress);
	result.verdict = write_frame(context, packet, backend, &link, choice);
	return result;
}
