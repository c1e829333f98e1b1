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
	__uint(max_entries, MARTLET_SERVICE_LIMIT);
	__type(key, struct martlet_service_v4);
	__type(value, struct martlet_service);
} services_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MARTLET_SERVICE_LIMIT);
	__type(key, struct martlet_service_v6);
	__type(value, struct martlet_service);
} services_v6 SEC(".maps");

/*
 * One table for each service, written in place, word by word, through a mapping. Sizes and not
 * types: clang's BTF leaves out a struct that only an inner map names.
 */
struct slot_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
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

/* Mapped too: a next hop is replaced by one store. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARTLET_BACKEND_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MARTLET_EGRESS_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_egress);
} egresses SEC(".maps");

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
	__type(value, struct martlet_count);
} service_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MARTLET_BACKEND_LIMIT);
	__type(key, __u32);
	__type(value, struct martlet_count);
} backend_counters SEC(".maps");
