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

#define IPV4_FRAGMENT 0x3fff /* more fragments, or an offset: RFC 791 §3.1 */
#define IPV6_FRAGMENT 44     /* next header of a fragment: RFC 8200 §4.5 */

/* What the rest of the program needs to know of a packet. */
struct packet {
	__u32 bytes;	   /* of the frame */
	__u32 ip_bytes;	   /* of the IP packet; the frame may be padded beyond it */
	__u8 family;	   /* 4 or 6 */
	__u8 traffic_class; /* DSCP and ECN, which an outer header copies */
	union {
		struct martlet_flow_v4 v4;
		struct martlet_flow_v6 v6;
		__u64 words[5]; /* what is hashed: two words or all five */
	} flow;
};

struct ports {
	__be16 source;
	__be16 destination;
};

/*
 * Checks the transport header, `ip_payload` bytes long by the word of the IP header, and returns
 * the ports in *ports.
 */
static __always_inline enum martlet_verdict
parse_transport(struct cursor *cursor, __u8 protocol, __u32 ip_payload, struct ports *ports)
{
	if (protocol == IPPROTO_TCP) {
		const struct tcphdr *tcp = take(cursor, sizeof(*tcp));

		if (!tcp || ip_payload < sizeof(*tcp))
			return MARTLET_DROP_TRUNCATED;
		if (tcp->doff < 5 || ip_payload < tcp->doff * 4u)
			return MARTLET_DROP_MALFORMED;
		*ports = (struct ports){ tcp->source, tcp->dest };
		return MARTLET_UNDECIDED;
	}
	if (protocol == IPPROTO_UDP) {
		const struct udphdr *udp = take(cursor, sizeof(*udp));

		if (!udp || ip_payload < sizeof(*udp))
			return MARTLET_DROP_TRUNCATED;
		if (bpf_ntohs(udp->len) < sizeof(*udp) || bpf_ntohs(udp->len) > ip_payload)
			return MARTLET_DROP_MALFORMED;
		*ports = (struct ports){ udp->source, udp->dest };
		return MARTLET_UNDECIDED;
	}
	return MARTLET_PASS_NOT_TCP_UDP;
}

static __always_inline enum martlet_verdict parse_ipv4(struct cursor *cursor, struct packet *packet)
{
	const struct iphdr *ip = take(cursor, sizeof(*ip));
	enum martlet_verdict verdict;
	struct ports ports = {};
	__u32 header;

	if (!ip)
		return MARTLET_DROP_TRUNCATED;
	header = ip->ihl * 4;
	packet->ip_bytes = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || packet->ip_bytes < header)
		return MARTLET_DROP_MALFORMED;
	if (packet->ip_bytes > packet->bytes - sizeof(struct ethhdr))
		return MARTLET_DROP_TRUNCATED;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return MARTLET_PASS_FRAGMENT;
	cursor->at += header - sizeof(*ip);
	verdict = parse_transport(cursor, ip->protocol, packet->ip_bytes - header, &ports);
	packet->family = 4;
	packet->traffic_class = ip->tos;
	packet->flow.v4 = (struct martlet_flow_v4){
		.source = ip->saddr,
		.destination = ip->daddr,
		.source_port = ports.source,
		.destination_port = ports.destination,
		.protocol = ip->protocol,
	};
	return verdict;
}

static __always_inline enum martlet_verdict parse_ipv6(struct cursor *cursor, struct packet *packet)
{
	const struct ipv6hdr *ip = take(cursor, sizeof(*ip));
	enum martlet_verdict verdict;
	struct ports ports = {};
	__u32 payload;

	if (!ip)
		return MARTLET_DROP_TRUNCATED;
	if (ip->version != 6)
		return MARTLET_DROP_MALFORMED;
	payload = bpf_ntohs(ip->payload_len);
	packet->ip_bytes = payload + sizeof(*ip);
	if (packet->ip_bytes > packet->bytes - sizeof(struct ethhdr))
		return MARTLET_DROP_TRUNCATED;
	if (ip->nexthdr == IPV6_FRAGMENT)
		return MARTLET_PASS_FRAGMENT;
	verdict = parse_transport(cursor, ip->nexthdr, payload, &ports);
	packet->family = 6;
	packet->traffic_class = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	__builtin_memcpy(&packet->flow.v6.source, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(&packet->flow.v6.destination, &ip->daddr, sizeof(ip->daddr));
	packet->flow.v6.source_port = ports.source;
	packet->flow.v6.destination_port = ports.destination;
	packet->flow.v6.protocol = ip->nexthdr;
	return verdict;
}

/* Fills *packet, all zero before, or decides. */
static __always_inline enum martlet_verdict parse(struct xdp_md *context, struct packet *packet)
{
	struct cursor cursor = cursor_of(context);
	const struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));

	if (!ethernet)
		return MARTLET_DROP_TRUNCATED;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP))
		return parse_ipv4(&cursor, packet);
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(&cursor, packet);
	return MARTLET_PASS_NOT_IP;
}
