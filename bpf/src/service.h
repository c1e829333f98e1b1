/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which service a packet is for: the exact port first, then any port. */
#pragma once

#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "parse.h"

static __always_inline const struct martlet_service *find_service_v4(const struct packet *packet)
{
	struct martlet_service_v4 key = {
		.address = packet->flow.v4.destination,
		.port = packet->flow.v4.destination_port,
		.protocol = packet->flow.v4.protocol,
	};
	const struct martlet_service *service = bpf_map_lookup_elem(&services_v4, &key);

	if (service)
		return service;
	key.port = 0;
	return bpf_map_lookup_elem(&services_v4, &key);
}

static __always_inline const struct martlet_service *find_service_v6(const struct packet *packet)
{
	struct martlet_service_v6 key = {
		.address = packet->flow.v6.destination,
		.port = packet->flow.v6.destination_port,
		.protocol = packet->flow.v6.protocol,
	};
	const struct martlet_service *service = bpf_map_lookup_elem(&services_v6, &key);

	if (service)
		return service;
	key.port = 0;
	return bpf_map_lookup_elem(&services_v6, &key);
}

static __always_inline const struct martlet_service *find_service(const struct packet *packet)
{
	return packet->family == 4 ? find_service_v4(packet) : find_service_v6(packet);
}
