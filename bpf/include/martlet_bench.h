/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the benchmark's programs and `martlet-bench` agree on. */
#pragma once

#include <linux/types.h>

enum martlet_bench_limit {
	/* All headers of the packets measured, and some payload; two cache lines. */
	MARTLET_BENCH_FRAME = 128,
	/* Flows whose ends can be listed; a power of two. */
	MARTLET_BENCH_FLOWS = 1 << 20,
};

/* Value of `bench`: the packet that each run begins with. */
struct martlet_bench {
	__u32 bytes;	   /* of the frame, at most MARTLET_BENCH_FRAME */
	__u32 flow_mask;   /* number of flows - 1; the number is a power of two */
	__u32 flow_offset; /* where the flow's number is added, less 2: a multiple of 4 */
	__u32 interface;   /* that live frames are sent to */
	__u64 random;	   /* state of the generator that chooses the flow, or of the list's turn */
	__u8 frame[MARTLET_BENCH_FRAME];
};

/* Value of `listed`: the ends of a flow over IPv4, as they stand in its packets. */
struct martlet_bench_ends {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 unused;
};

_Static_assert(sizeof(struct martlet_bench_ends) == 16, "two words");
_Static_assert(sizeof(struct martlet_bench) == 24 + MARTLET_BENCH_FRAME, "no hole");
