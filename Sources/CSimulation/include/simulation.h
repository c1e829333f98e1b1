/*
 * The program's choice of a backend, bpf/src/choose.h, built for this machine over tables in plain
 * memory; and flows by the million that live through what a controller does to these tables.
 *
 * A flow knows only where its first packet went, and what its own life allows it to expect: it is
 * the judge of whatever the tables say.
 */
#pragma once

#include <linux/types.h>

enum simulation_limit {
	SIMULATION_SERVICES = 8,   /* numbers are below that */
	SIMULATION_BACKENDS = 256, /* the same */
};

/* How the flows of one service behave. Times are in milliseconds. */
struct simulation_habits {
	__u8 service; /* its number */
	__u8 is_udp;
	__u32 slot_bits; /* the logarithm of its number of slots */
	__u32 silence;	 /* the longest time between two packets of a flow that is to live */
};

/* What became of the flows. */
struct simulation_tally {
	__u64 opened;	    /* connections that were established, and flows of UDP */
	__u64 packets;	    /* of flows, without floods */
	__u64 checked;	    /* how often it was asked where the next packet of a flow would go */
	__u64 cut;	    /* established flows that would go, or went, elsewhere: never */
	__u64 handshakes;   /* that ended elsewhere than they began */
	__u64 repetitions;  /* of a FIN, that went elsewhere */
	__u64 unremembered; /* UDP that found no room: nothing is promised */
	__u64 forgotten;    /* silent for too long, and then sent elsewhere */
	__u64 excused;	    /* whose backend died, or was cut */
	__u64 refused;	    /* nobody could have them */
};

/* The first flow that was cut. */
struct simulation_cut {
	__u64 hash;
	__u32 service;
	__u32 slot;
	__u32 word; /* of the slot */
	__u32 expected;
	__u32 got;
	__u32 is_closing;
	__u64 entry; /* 0: none */
	__u64 silence;
};

struct simulation;

/*
 * `flow_count` flows at a time, in turn with each of the `count` habits, of which a service may
 * have several; 2^bucket_bits buckets.
 */
struct simulation *simulation_create(const struct simulation_habits *habits, __u32 count,
				     __u32 flow_count, __u32 bucket_bits, __u64 seed);
void simulation_destroy(struct simulation *simulation);

/* What a plane holds. */
void simulation_set_service(struct simulation *simulation, __u32 service, __u32 flags);
__u32 *simulation_slots(struct simulation *simulation, __u32 service);
void simulation_set_backend(struct simulation *simulation, __u32 backend, __u32 service);
void simulation_set_load(struct simulation *simulation, __u32 backend, __u32 limit, __u32 weight,
			 __u32 is_closed);
void simulation_add_flows(struct simulation *simulation, __u32 backend, __u32 flows);
__u32 simulation_open_flows(struct simulation *simulation, __u32 backend);
__u32 simulation_service_of(struct simulation *simulation, __u32 backend);
void simulation_set_turns(struct simulation *simulation, __u32 service, __u32 length);
void simulation_freeze(struct simulation *simulation, __u32 is_frozen);
__u64 *simulation_entries(struct simulation *simulation);
__u32 simulation_entry_count(struct simulation *simulation);
__u64 simulation_event_count(struct simulation *simulation, __u32 event);

/* Time goes on to `milliseconds`, and flows send what is due. */
void simulation_run(struct simulation *simulation, __u64 milliseconds);
/* Some flows send something now. */
void simulation_nudge(struct simulation *simulation, __u32 count);
/* So many SYNs of strangers, each of another flow. */
void simulation_flood(struct simulation *simulation, __u32 service, __u32 count);
/* Asks of every flow where its next packet would go. */
void simulation_check(struct simulation *simulation);
/* From now on the backend answers, or not; what is established there dies with it. */
void simulation_set_alive(struct simulation *simulation, __u32 backend, __u32 is_alive);
/* What the backend has may be cut. */
void simulation_excuse(struct simulation *simulation, __u32 backend);
/* How many flows are established at the backend. */
__u32 simulation_established(struct simulation *simulation, __u32 backend);
/* Whether flows that end are followed by others. */
void simulation_reopen(struct simulation *simulation, __u32 is_wanted);

struct simulation_tally simulation_tally(const struct simulation *simulation);
struct simulation_cut simulation_first_cut(const struct simulation *simulation);
