/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The time of the tables that the program writes. */
#pragma once

#include <bpf/bpf_helpers.h>
#include "martlet_abi.h"

/* In units of 2^30 ns: fine enough for limits of half a minute, and read without a device. */
static __always_inline __u32 time_now(void)
{
	return (__u32)(bpf_ktime_get_coarse_ns() >> 30) & ((1u << MARTLET_NAT_TIME_BITS) - 1);
}

/* The time of the flow table, whose entries live for hours. */
static __always_inline __u32 epoch_now(void)
{
	return (__u32)(bpf_ktime_get_coarse_ns() >> MARTLET_FLOW_TICK_SHIFT) &
	       ((1u << MARTLET_FLOW_EPOCH_BITS) - 1);
}
