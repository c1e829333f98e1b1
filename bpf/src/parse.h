/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From the bytes of a frame to the flow it belongs to. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "cursor.h"
#include "martlet_abi.h"

#define IPV4_MORE_FRAGMENTS 0x2000 /* RFC 791 §3.1 */
#define IPV4_OFFSET	    0x1fff /* in units of eight bytes */
#define IPV6_MORE_FRAGMENTS 0x0001 /* RFC 8200 §4.5 */
#define IPV6_OFFSET	    0xfff8 /* in bytes */

enum packet_kind {
	PACKET_OTHER, /* neither of those below */
	PACKET_FLOW,  /* TCP or UDP, with ports */
	PACKET_ICMP,
	PACKET_ICMP_ERROR, /* `flow` is that of the packet it quotes, seen from the client */
	PACKET_LATER_FRAGMENT,
};

/* What the rest of the program needs to know of a packet. */
struct packet {
	__u32 bytes;	       /* of the frame */
	__u32 ip_bytes;	       /* of the IP packet; the frame may be padded beyond it */
	__be32 fragment;       /* identification; of a first or later fragment */
	__u16 fragment_offset; /* in bytes */
	__u16 header_bytes;    /* of the IP header with its options or extensions */
	__u8 link_bytes;       /* of the Ethernet header with its VLAN tags */
	__u8 quoted_bytes;     /* of an error: of the IP header that it quotes, as above */
	__u8 kind;	       /* enum packet_kind */
	__u8 problem;	       /* the verdict, if the packet is for a VIP */
	__u8 family;	       /* 4 or 6 */
	__u8 traffic_class;    /* DSCP and ECN, which an outer header copies */
	__u8 ttl;	       /* or hop limit */
	__u8 is_first_fragment;
	__u8 is_new_flow;
	__u8 ends_flow;
	__u8 answers_syn;
	__u8 is_martian; /* from or to an address that no packet to a VIP can have */
	__u8 protocol;	 /* of the transport */
	union {
		struct martlet_flow_v4 v4;
		struct martlet_flow_v6 v6;
		__u64 words[5]; /* what is hashed: two words or all five */
	} flow;
};

_Static_assert(MARTLET_VERDICT_COUNT <= 1 << 8, "every verdict fits a packet's problem");

struct ports {
	__be16 source;
	__be16 destination;
};

/*
 * Ports and protocol in one store: the hash reads them as one word, and a load that covers several
 * younger stores waits until they have left the store buffer.
 */
static __always_inline void set_transport(struct packet *packet, __u32 ports)
{
	packet->flow.words[packet->family == 4 ? 1 : 4] = ports | (__u64)packet->protocol << 32;
}

static __always_inline __be16 source_port_of(const struct packet *packet)
{
	return packet->family == 4 ? packet->flow.v4.source_port : packet->flow.v6.source_port;
}

static __always_inline __be16 destination_port_of(const struct packet *packet)
{
	return packet->family == 4 ? packet->flow.v4.destination_port
				   : packet->flow.v6.destination_port;
}

/* Of an ICMP error that of the packet it quotes. */
static __always_inline __u8 flow_protocol_of(const struct packet *packet)
{
	return packet->family == 4 ? packet->flow.v4.protocol : packet->flow.v6.protocol;
}

static __always_inline enum martlet_verdict parse_tcp(struct cursor *cursor, struct packet *packet,
						      __u32 left)
{
	const struct tcphdr *tcp = take(cursor, sizeof(*tcp));

	if (!tcp || left < sizeof(*tcp))
		return MARTLET_DROP_TRUNCATED;
	if (tcp->doff < 5 || left < tcp->doff * 4u)
		return MARTLET_DROP_MALFORMED;
	packet->kind = PACKET_FLOW;
	packet->is_new_flow = tcp->syn && !tcp->ack;
	packet->ends_flow = tcp->fin || tcp->rst;
	packet->answers_syn = tcp->syn && tcp->ack;
	set_transport(packet, *(const __u32 *)tcp);
	return MARTLET_UNDECIDED;
}

static __always_inline enum martlet_verdict parse_udp(struct cursor *cursor, struct packet *packet,
						      __u32 left)
{
	const struct udphdr *udp = take(cursor, sizeof(*udp));

	if (!udp || left < sizeof(*udp))
		return MARTLET_DROP_TRUNCATED;
	if (bpf_ntohs(udp->len) < sizeof(*udp))
		return MARTLET_DROP_MALFORMED;
	if (bpf_ntohs(udp->len) > left && !packet->is_first_fragment)
		return MARTLET_DROP_MALFORMED;
	packet->kind = PACKET_FLOW;
	set_transport(packet, *(const __u32 *)udp);
	return MARTLET_UNDECIDED;
}

/* What follows the IP headers, `left` bytes by their word; returns what is wrong with it. */
static __always_inline enum martlet_verdict
parse_transport(struct cursor *cursor, struct packet *packet, __u8 protocol, __u32 left)
{
	packet->protocol = protocol;
	packet->header_bytes = packet->ip_bytes - left;
	if (packet->fragment_offset) {
		packet->kind = PACKET_LATER_FRAGMENT;
		return MARTLET_UNDECIDED;
	}
	if (protocol == IPPROTO_TCP)
		return parse_tcp(cursor, packet, left);
	if (protocol == IPPROTO_UDP)
		return parse_udp(cursor, packet, left);
	if (protocol == (packet->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		packet->kind = PACKET_ICMP;
		if (left < 8 || !take(cursor, 8))
			return MARTLET_DROP_TRUNCATED;
	}
	return MARTLET_UNDECIDED;
}

/* 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3: RFC 1122 §3.2.1.3. */
static __always_inline int is_martian_v4(__be32 source)
{
	__u8 first = (__u8)source; /* little-endian: the byte that comes first */

	return first == 0 || first == 127 || first >= 224;
}

/* ::, ::1, ff00::/8, ::ffff:0:0/96: RFC 4291 §2.5.2, §2.5.3, §2.7, §2.5.5.2. */
static __always_inline int is_martian_v6(const struct martlet_address *source)
{
	if ((__u8)source->word[0] == 0xff)
		return 1;
	if (source->word[0] || source->word[1])
		return 0;
	if (source->word[2] == bpf_htonl(0xffff))
		return 1;
	return !source->word[2] && (!source->word[3] || source->word[3] == bpf_htonl(1));
}

static __always_inline int are_equal(const struct martlet_address *one,
				     const struct martlet_address *other)
{
	return one->word[0] == other->word[0] && one->word[1] == other->word[1] &&
	       one->word[2] == other->word[2] && one->word[3] == other->word[3];
}

static __always_inline enum martlet_verdict parse_ipv4(struct cursor *cursor, struct packet *packet)
{
	const struct iphdr *ip = take(cursor, sizeof(*ip));
	__u32 header, offset;

	if (!ip)
		return MARTLET_DROP_TRUNCATED;
	header = ip->ihl * 4;
	packet->ip_bytes = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || packet->ip_bytes < header)
		return MARTLET_DROP_MALFORMED;
	if (packet->ip_bytes > packet->bytes - packet->link_bytes)
		return MARTLET_DROP_TRUNCATED;
	packet->family = 4;
	packet->traffic_class = ip->tos;
	packet->ttl = ip->ttl;
	packet->flow.words[0] = ip->saddr | (__u64)ip->daddr << 32;
	packet->is_martian |= is_martian_v4(ip->saddr) || ip->saddr == ip->daddr;
	if (ip->frag_off & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_OFFSET)) {
		offset = bpf_ntohs(ip->frag_off) & IPV4_OFFSET;
		packet->fragment_offset = offset * 8;
		packet->is_first_fragment = offset == 0;
		packet->fragment = ip->id;
	}
	cursor->at += header - sizeof(*ip);
	packet->problem = parse_transport(cursor, packet, ip->protocol, packet->ip_bytes - header);
	return MARTLET_UNDECIDED;
}

/* What IPv6 extension headers (RFC 8200 §4.1) have in common, and the rest of a fragment's. */
struct extension {
	__u8 next;
	__u8 size; /* in units of eight bytes, the first not counted; of 44: reserved */
	__be16 fragment_offset;
	__be32 fragment;
};

#define IPV6_HOP_BY_HOP	    0
#define IPV6_ROUTING	    43
#define IPV6_FRAGMENT	    44
#define IPV6_AUTHENTICATION 51 /* RFC 4302 */
#define IPV6_DESTINATION    60

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == IPV6_HOP_BY_HOP || protocol == IPV6_ROUTING ||
	       protocol == IPV6_FRAGMENT || protocol == IPV6_AUTHENTICATION ||
	       protocol == IPV6_DESTINATION;
}

static __always_inline __u32 extension_bytes(__u8 protocol, const struct extension *extension)
{
	if (protocol == IPV6_FRAGMENT)
		return sizeof(*extension);
	if (protocol == IPV6_AUTHENTICATION)
		return (extension->size + 2) * 4;
	return (extension->size + 1) * 8;
}

/* How a walk over the extension headers ended. */
struct extensions {
	enum martlet_verdict problem;
	__u32 left; /* bytes of the packet behind them */
	__u8 next;  /* the first header that is none */
};

static __always_inline struct extensions step_over(struct cursor *cursor, struct packet *packet,
						   struct extensions at)
{
	for (int i = 0; is_extension(at.next) && !packet->fragment_offset; i++) {
		const struct extension *extension;
		__u32 bytes;

		at.problem = MARTLET_DROP_EXTENSIONS;
		if (i == MARTLET_EXTENSION_LIMIT)
			return at;
		at.problem = MARTLET_DROP_TRUNCATED;
		extension = take(cursor, sizeof(*extension));
		if (!extension || at.left < sizeof(*extension))
			return at;
		bytes = extension_bytes(at.next, extension);
		if (at.left < bytes)
			return at;
		at.problem = MARTLET_DROP_SOURCE_ROUTED;
		if (at.next == IPV6_ROUTING && bpf_ntohs(extension->fragment_offset) & 0xff)
			return at; /* the byte there is the number of segments left: §4.4 */
		if (at.next == IPV6_FRAGMENT &&
		    extension->fragment_offset & bpf_htons(IPV6_OFFSET | IPV6_MORE_FRAGMENTS)) {
			packet->fragment_offset =
				bpf_ntohs(extension->fragment_offset) & IPV6_OFFSET;
			packet->is_first_fragment = packet->fragment_offset == 0;
			packet->fragment = extension->fragment;
		}
		cursor->at += bytes - sizeof(*extension);
		at.left -= bytes;
		at.next = extension->next;
	}
	at.problem = MARTLET_UNDECIDED;
	return at;
}

static __always_inline enum martlet_verdict parse_ipv6(struct cursor *cursor, struct packet *packet)
{
	const struct ipv6hdr *ip = take(cursor, sizeof(*ip));
	struct extensions rest = {};

	if (!ip)
		return MARTLET_DROP_TRUNCATED;
	if (ip->version != 6)
		return MARTLET_DROP_MALFORMED;
	rest.left = bpf_ntohs(ip->payload_len);
	packet->ip_bytes = rest.left + sizeof(*ip);
	if (packet->ip_bytes > packet->bytes - packet->link_bytes)
		return MARTLET_DROP_TRUNCATED;
	packet->family = 6;
	packet->traffic_class = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	packet->ttl = ip->hop_limit;
	for (int i = 0; i < 4; i++)
		packet->flow.words[i] = ((const __u64 *)&ip->saddr)[i];
	packet->is_martian |= is_martian_v6(&packet->flow.v6.source) ||
			      are_equal(&packet->flow.v6.source, &packet->flow.v6.destination);
	rest.next = ip->nexthdr;
	rest = step_over(cursor, packet, rest);
	packet->problem = rest.problem;
	if (!rest.problem)
		packet->problem = parse_transport(cursor, packet, rest.next, rest.left);
	return MARTLET_UNDECIDED;
}

static __always_inline int is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

struct vlan_header {
	__be16 control;
	__be16 type; /* of what follows */
};

/* Fills *packet, all zero before but for its size, or decides. */
static __always_inline enum martlet_verdict parse(struct xdp_md *context, struct packet *packet)
{
	struct cursor cursor = cursor_of(context);
	const struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));
	__be16 type;

	if (!ethernet)
		return MARTLET_DROP_TRUNCATED;
	type = ethernet->h_proto;
	packet->link_bytes = sizeof(*ethernet);
	packet->is_martian = ethernet->h_dest[0] & 1; /* a group address: IEEE 802 §8.2.2 */
	for (int i = 0; i < MARTLET_VLAN_LIMIT && is_vlan(type); i++) {
		const struct vlan_header *vlan = take(&cursor, sizeof(*vlan));

		if (!vlan)
			return MARTLET_DROP_TRUNCATED;
		type = vlan->type;
		packet->link_bytes += sizeof(*vlan);
	}
	if (type == bpf_htons(ETH_P_IP))
		return parse_ipv4(&cursor, packet);
	if (type == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(&cursor, packet);
	return MARTLET_PASS_NOT_IP;
}
