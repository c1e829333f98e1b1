/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the balancer answers itself: pings, and "too big". */
#pragma once

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "checksum.h"
#include "cursor.h"
#include "frame.h"
#include "maps.h"
#include "parse.h"
#include "verify.h"

#define REPLY_TTL 64

/* <linux/icmp.h> takes libc with it. RFC 792; RFC 4443. */
#define ICMP_ECHO_REPLY		  0
#define ICMP_UNREACHABLE	  3
#define ICMP_FRAGMENTATION_NEEDED 4 /* its code */
#define ICMP_ECHO_REQUEST	  8
#define ICMP_TIME_EXCEEDED	  11
#define ICMP_PARAMETER_PROBLEM	  12
#define ICMPV6_UNREACHABLE	  1
#define ICMPV6_TOO_BIG		  2
#define ICMPV6_PARAMETER_PROBLEM  4
#define ICMPV6_ECHO_REQUEST	  128
#define ICMPV6_ECHO_REPLY	  129

/* RFC 792, RFC 4443: what both ICMPs begin with. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 rest; /* its meaning depends on the type */
};

/* The link header of a frame back to where the frame of the packet came from. */
static __always_inline int link_back(struct xdp_md *context, const struct packet *packet,
				     struct link_header *link)
{
	struct cursor cursor = cursor_of(context);
	const struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));
	__be16 type;

	if (!ethernet)
		return 0;
	copy_mac(link->destination, ethernet->h_source);
	copy_mac(link->source, ethernet->h_dest);
	type = ethernet->h_proto;
	for (int i = 0; i < MARTLET_VLAN_LIMIT; i++) {
		const struct vlan_header *vlan;

		if (packet->link_bytes < sizeof(*ethernet) + (i + 1) * sizeof(*vlan))
			break;
		vlan = take(&cursor, sizeof(*vlan));
		if (!vlan)
			return 0;
		link->vlan[i] = (struct martlet_vlan){type, vlan->control};
		type = vlan->type;
	}
	return 1;
}

/* Turns the addresses round; RFC 792 p. 14. The checksum sees the change of the TTL alone. */
static __always_inline void turn_round_ipv4(struct iphdr *ip)
{
	__be16 before = *(__be16 *)&ip->ttl, after;
	__be32 source = ip->saddr;

	ip->ttl = REPLY_TTL;
	after = *(__be16 *)&ip->ttl;
	ip->check = updated_checksum(ip->check, before, after);
	ip->saddr = ip->daddr;
	ip->daddr = source;
}

static __always_inline void turn_round_ipv6(struct ipv6hdr *ip)
{
	struct in6_addr source = ip->saddr;

	ip->hop_limit = REPLY_TTL;
	ip->saddr = ip->daddr;
	ip->daddr = source;
}

static __noinline enum martlet_verdict reply_echo(struct xdp_md *context,
						  const struct packet *packet)
{
	struct link_header link = {};
	struct cursor cursor = cursor_of(context);
	struct icmp_header *icmp;
	__be16 before;

	if (!link_back(context, packet, &link) ||
	    !write_link_header(&cursor, &link, type_of_family(packet->family)))
		return MARTLET_DROP_TRUNCATED;
	if (packet->family == 4) {
		struct iphdr *ip = take(&cursor, sizeof(*ip));

		if (!ip)
			return MARTLET_DROP_TRUNCATED;
		turn_round_ipv4(ip);
		cursor.at = ip;
	} else {
		struct ipv6hdr *ip = take(&cursor, sizeof(*ip));

		if (!ip)
			return MARTLET_DROP_TRUNCATED;
		turn_round_ipv6(ip);
		cursor.at = ip;
	}
	cursor.at += packet->header_bytes & 0x3fff;
	icmp = take(&cursor, sizeof(*icmp));
	if (!icmp)
		return MARTLET_DROP_TRUNCATED;
	before = *(__be16 *)icmp;
	icmp->type = packet->family == 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY;
	icmp->checksum = updated_checksum(icmp->checksum, before, *(__be16 *)icmp);
	return MARTLET_REPLY_ECHO;
}

/* Whether this CPU may send one more error in this tick of the clock. */
static __always_inline int spend_error(void)
{
	__u32 zero = 0;
	struct martlet_budget *budget = bpf_map_lookup_elem(&error_budget, &zero);
	__u64 now = bpf_jiffies64();

	if (!budget)
		return 0;
	if (budget->tick != now) {
		budget->tick = now;
		budget->spent = 0;
	}
	if (budget->spent >= MARTLET_ERRORS_PER_TICK)
		return 0;
	budget->spent++;
	return 1;
}

/* Cuts the packet to what is quoted, and leaves `headers` bytes of room before it. */
static __always_inline int make_room_for_error(struct xdp_md *context, const struct packet *packet,
					       const struct link_header *link, __u32 headers)
{
	int surplus = (int)(packet->bytes - packet->link_bytes - MARTLET_QUOTE_BYTES);
	int growth = (int)(link_header_bytes(link) + headers - packet->link_bytes);

	if (surplus > 0 && bpf_xdp_adjust_tail(context, -surplus))
		return 0;
	return !bpf_xdp_adjust_head(context, -growth);
}

struct quoting_icmp {
	struct icmp_header header;
	__u8 quote[MARTLET_QUOTE_BYTES];
};

/* "Fragmentation needed": RFC 792 p. 4, RFC 1191 §4. */
static __always_inline enum martlet_verdict reply_too_big_ipv4(struct xdp_md *context,
							       const struct packet *packet,
							       const struct link_header *link,
							       __u16 mtu)
{
	struct quoting_icmp *icmp;
	struct cursor cursor;
	struct iphdr *ip;

	if (!make_room_for_error(context, packet, link, sizeof(*ip) + sizeof(icmp->header)))
		return MARTLET_DROP_NO_ROOM;
	cursor = cursor_of(context);
	if (!write_link_header(&cursor, link, bpf_htons(ETH_P_IP)))
		return MARTLET_DROP_TRUNCATED;
	ip = take(&cursor, sizeof(*ip));
	icmp = take(&cursor, sizeof(*icmp));
	if (!ip || !icmp)
		return MARTLET_DROP_TRUNCATED;
	*ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tot_len = bpf_htons(sizeof(*ip) + sizeof(*icmp)),
		.frag_off = bpf_htons(0x4000),
		.ttl = REPLY_TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = packet->flow.v4.destination,
		.daddr = packet->flow.v4.source,
	};
	ip->check = ipv4_checksum(ip);
	icmp->header = (struct icmp_header){
		.type = ICMP_UNREACHABLE,
		.code = ICMP_FRAGMENTATION_NEEDED,
		.rest = bpf_htonl(mtu),
	};
	icmp->header.checksum =
		(__sum16)~fold((__u32)bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp), 0));
	return MARTLET_REPLY_TOO_BIG;
}

/* "Packet too big": RFC 4443 §3.2; the checksum with the pseudo-header of RFC 8200 §8.1. */
static __always_inline enum martlet_verdict reply_too_big_ipv6(struct xdp_md *context,
							       const struct packet *packet,
							       const struct link_header *link,
							       __u16 mtu)
{
	struct quoting_icmp *icmp;
	struct cursor cursor;
	struct ipv6hdr *ip;
	__u32 sum;

	if (!make_room_for_error(context, packet, link, sizeof(*ip) + sizeof(icmp->header)))
		return MARTLET_DROP_NO_ROOM;
	cursor = cursor_of(context);
	if (!write_link_header(&cursor, link, bpf_htons(ETH_P_IPV6)))
		return MARTLET_DROP_TRUNCATED;
	ip = take(&cursor, sizeof(*ip));
	icmp = take(&cursor, sizeof(*icmp));
	if (!ip || !icmp)
		return MARTLET_DROP_TRUNCATED;
	*ip = (struct ipv6hdr){
		.version = 6,
		.payload_len = bpf_htons(sizeof(*icmp)),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = REPLY_TTL,
	};
	__builtin_memcpy(&ip->saddr, &packet->flow.v6.destination, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &packet->flow.v6.source, sizeof(ip->daddr));
	icmp->header = (struct icmp_header){.type = ICMPV6_TOO_BIG, .rest = bpf_htonl(mtu)};
	sum = bpf_htons(sizeof(*icmp)) + bpf_htons(IPPROTO_ICMPV6);
	sum = (__u32)bpf_csum_diff(NULL, 0, (void *)&ip->saddr, 2 * sizeof(ip->saddr), sum);
	sum = (__u32)bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp), sum);
	icmp->header.checksum = (__sum16)~fold(sum);
	return MARTLET_REPLY_TOO_BIG;
}

/* Tells the sender which size fits; RFC 1122 §3.2.2 says when an error must not be sent. */
VERIFIED_ALONE enum martlet_verdict reply_too_big(struct xdp_md *context,
						  const struct packet *packet, __u32 mtu)
{
	struct link_header link = {};

	if (!packet || packet->kind != PACKET_FLOW || packet->ip_bytes < MARTLET_QUOTE_BYTES ||
	    !link_back(context, packet, &link) || !spend_error())
		return MARTLET_DROP_TOO_BIG;
	if (packet->family == 4)
		return reply_too_big_ipv4(context, packet, &link, (__u16)mtu);
	return reply_too_big_ipv6(context, packet, &link, (__u16)mtu);
}
