/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every table of the balancer. The controller writes them, except for the counters. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "martlet_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct martlet_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MARTLET_SERVICE_KEY_LIMIT);
	__type(key, struct martlet_service_v4);
	__type(value, struct martlet_service);
} services_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MARTLET_SERVICE_KEY_LIMIT);
	__type(key, struct martlet_service_v6);
	__type(value, struct martlet_service);
} services_v6 SEC(".maps");

/* What packets look into instead of those two. Mapped: places are written word by word. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << MARTLET_INDEX_BITS_V4);
	__type(key, __u32);
	__type(value, struct martlet_bucket_v4);
} service_index_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << MARTLET_INDEX_BITS_V6);
	__type(key, __u32);
	__type(value, struct martlet_bucket_v6);
} service_index_v6 SEC(".maps");

/*
 * One bit for each hash of an address; 0: no VIP has such an address. It spares what is not for
 * us the walk through the trie. Mapped: bits are set and cleared in place.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_VIP_FILTER_BITS / 64);
	__type(key, __u32);
	__type(value, __u64);
} vip_filter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MARTLET_VIP_LIMIT);
	__type(key, struct martlet_vip_key);
	__type(value, struct martlet_vip);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MARTLET_ACCESS_LIMIT);
	__type(key, struct martlet_access_key);
	__type(value, __u32); /* enum martlet_access */
} access SEC(".maps");

/* Written by the program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MARTLET_FRAGMENT_LIMIT);
	__type(key, struct martlet_fragment_key);
	__type(value, struct martlet_fragment);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct martlet_budget);
} error_budget SEC(".maps");

/*
 * One table for each service, written in place, word by word, through a mapping. Sizes and not
 * types: clang's BTF leaves out a struct that only an inner map names. All of one size, because
 * then the kernel puts the look-up into the program, and a packet spares a call (5 ns).
 */
struct slot_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_SLOTS / 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct martlet_slot_pair));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MARTLET_SERVICE_LIMIT);
	__type(key, __u32);
	__array(values, struct slot_table);
} slot_tables SEC(".maps");

/* The same for services with fewer slots, of whatever number. */
struct small_slot_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct martlet_slot_pair));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MARTLET_SERVICE_LIMIT);
	__type(key, __u32);
	__array(values, struct small_slot_table);
} small_slot_tables SEC(".maps");

/* Mapped too: a next hop is replaced by one store. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_BACKEND_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_backend);
} backends SEC(".maps");

/* The flows that are remembered; docs/life-of-a-packet.md §6. Mapped: the controller sweeps it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_FLOW_BUCKETS);
	__type(key, __u32);
	__type(value, struct martlet_flow_bucket);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MARTLET_FLOW_EVENT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} flow_counters SEC(".maps");

/* Where round-robin has come to, by the service's id. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_SERVICE_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_turns);
} turns SEC(".maps");

/* By the backend's id. Mapped: the controller sets right what the program counts. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_BACKEND_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_load);
} backend_loads SEC(".maps");

/* Questions whose answers are timed; see timing.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MARTLET_NOTE_LIMIT);
	__type(key, __u32);
	__type(value, __u64);
} answer_notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MARTLET_EGRESS_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_egress);
} egresses SEC(".maps");

/* The number in `egresses` of a kernel's interface that takes frames redirected to it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MARTLET_EGRESS_LIMIT);
	__type(key, __u32);
	__type(value, __u32);
} egress_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MARTLET_NAT_RETURN_LIMIT);
	__type(key, struct martlet_nat_key);
	__type(value, struct martlet_nat_return);
} nat_returns SEC(".maps");

/* The addresses that `full-nat` sends from, as in `vips`, by number; 0s: the number is free. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MARTLET_NAT_ADDRESS_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_address);
} nat_sources SEC(".maps");

/* The same the other way round. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MARTLET_NAT_ADDRESS_LIMIT);
	__type(key, struct martlet_address);
	__type(value, __u32);
} nat_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * MARTLET_NAT_SHARES);
	__type(key, __u32);
	__type(value, struct martlet_nat_share);
} nat_shares SEC(".maps");

/*
 * One table for each NAT address, written by the program: 4.5 MiB. Mapped, so that it begins with
 * a page and a bucket with a cache line.
 */
struct nat_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_NAT_BUCKETS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct martlet_nat_bucket));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MARTLET_NAT_ADDRESS_LIMIT);
	__type(key, __u32);
	__array(values, struct nat_table);
} nat_tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MARTLET_VERDICT_COUNT);
	__type(key, __u32);
	__type(value, struct martlet_count);
} verdict_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MARTLET_SERVICE_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_traffic);
} service_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MARTLET_BACKEND_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_traffic);
} backend_counters SEC(".maps");
