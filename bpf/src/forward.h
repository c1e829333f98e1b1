/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Getting a packet to its backend. */
#pragma once

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "checksum.h"
#include "cursor.h"
#include "encapsulate.h"
#include "frame.h"
#include "maps.h"
#include "nat.h"
#include "parse.h"
#include "reply.h"
#include "select.h"
#include "service.h"
#include "translate.h"
#include "verify.h"

/* What becomes of a packet, and by which interface it leaves if it is forwarded. */
struct forwarding {
	enum martlet_verdict verdict;
	__u32 interface;
	int is_redirected_back; /* even if that is the interface it came in by */
};

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
