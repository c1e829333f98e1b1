/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting: per CPU, so that no two CPUs write the same cache line. */
#pragma once

#include <bpf/bpf_helpers.h>
#include "martlet_abi.h"

static __always_inline void count(void *counters, __u32 index, __u32 bytes)
{
	struct martlet_count *counter = bpf_map_lookup_elem(counters, &index);

	if (counter) {
		counter->packets += 1;
		counter->bytes += bytes;
	}
}

static __always_inline void count_traffic(void *counters, __u32 index, __u32 bytes, __u32 flows)
{
	struct martlet_traffic *counter = bpf_map_lookup_elem(counters, &index);

	if (counter) {
		counter->packets += 1;
		counter->bytes += bytes;
		counter->flows += flows;
	}
}
