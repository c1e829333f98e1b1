/* What bpf/src/choose.h needs of a kernel: tables, and the time. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Names that belong to the C library, or are too short for a whole program. */
#define access		  martlet_access_table
#define backends	  martlet_backend_table
#define backend_counters  martlet_backend_counters
#define backend_loads	  martlet_load_table
#define egress_numbers	  martlet_egress_numbers
#define egresses	  martlet_egress_table
#define error_budget	  martlet_error_budget
#define flow_counters	  martlet_flow_counters
#define flows		  martlet_flow_table
#define fragments	  martlet_fragment_table
#define nat_addresses	  martlet_nat_addresses
#define nat_returns	  martlet_nat_returns
#define nat_shares	  martlet_nat_shares
#define nat_sources	  martlet_nat_sources
#define nat_tables	  martlet_nat_tables
#define service_counters  martlet_service_counters
#define service_index_v4  martlet_service_index_v4
#define service_index_v6  martlet_service_index_v6
#define services_v4	  martlet_services_v4
#define services_v6	  martlet_services_v6
#define settings	  martlet_settings_table
#define slot_tables	  martlet_slot_tables
#define small_slot_tables martlet_small_slot_tables
#define turns		  martlet_turn_table
#define verdict_counters  martlet_verdict_counters
#define vip_filter	  martlet_vip_filter
#define vips		  martlet_vip_table

static void *look_up(void *map, const void *key);
static __u64 nanoseconds(void);

#define bpf_map_lookup_elem(map, key) look_up(map, key)
#define bpf_ktime_get_coarse_ns()     nanoseconds()

#include "../../bpf/src/choose.h"
