/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Ethernet header and VLAN tags of what leaves. */
#pragma once

#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "cursor.h"
#include "martlet_abi.h"
#include "parse.h"

/* <linux/if_ether.h> packs its own, so that no pointer to its type may be kept. */
struct ethernet_header {
	__u8 destination[ETH_ALEN];
	__u8 source[ETH_ALEN];
	__be16 type; /* of what follows */
};

/* What a frame begins with, but for the type of what follows. */
struct link_header {
	__u8 destination[ETH_ALEN] __attribute__((aligned(8)));
	__u8 source[ETH_ALEN] __attribute__((aligned(8)));
	struct martlet_vlan vlan[MARTLET_VLAN_LIMIT]; /* from the outside in; protocol 0: none */
};

/* With two loads and two stores: clang takes six of each, for it knows of no alignment. */
/* One reading of a next hop, which others may replace at any moment. */
union next_hop {
	__u64 word;
	struct martlet_next_hop parts;
};

static __always_inline void copy_mac(__u8 *to, const __u8 *from)
{
	*(__u32 *)to = *(const __u32 *)from;
	*(__u16 *)(to + 4) = *(const __u16 *)(from + 4);
}

static __always_inline __u32 link_header_bytes(const struct link_header *link)
{
	__u32 bytes = sizeof(struct ethernet_header);

	for (int i = 0; i < MARTLET_VLAN_LIMIT; i++) {
		if (!link->vlan[i].protocol)
			break;
		bytes += sizeof(struct vlan_header);
	}
	return bytes;
}

/* Writes it where the cursor is and steps over it; returns whether the frame has room for it. */
static __always_inline int write_link_header(struct cursor *cursor, const struct link_header *link,
					     __be16 type)
{
	struct ethernet_header *ethernet = take(cursor, sizeof(*ethernet));
	__be16 *type_before;

	if (!ethernet)
		return 0;
	copy_mac(ethernet->destination, link->destination);
	copy_mac(ethernet->source, link->source);
	type_before = &ethernet->type;
	for (int i = 0; i < MARTLET_VLAN_LIMIT; i++) {
		struct vlan_header *vlan;

		if (!link->vlan[i].protocol)
			break;
		vlan = take(cursor, sizeof(*vlan));
		if (!vlan)
			return 0;
		*type_before = link->vlan[i].protocol;
		vlan->control = link->vlan[i].control;
		type_before = &vlan->type;
	}
	*type_before = type;
	return 1;
}

static __always_inline __be16 type_of_family(__u8 family)
{
	return family == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
}
