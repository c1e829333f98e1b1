#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "simulation.h"

enum life {
	CLOSED,
	OPENING, /* SYN was sent and answered */
	ESTABLISHED,
	CLOSING, /* FIN was sent, and may be repeated */
};

struct flow {
	__u64 hash;
	__u64 due;  /* milliseconds; when it sends something */
	__u64 last; /* when it did */
	__u32 lives;
	__u16 backend;
	__u8 habits;
	__u8 life;
	__u8 packets; /* that it is going to send before it ends */
	__u8 is_excused;
	__u8 is_silent; /* for longer than it may */
};

struct simulation {
	struct martlet_settings setting;
	struct martlet_service service[SIMULATION_SERVICES];
	__u32 *slots[SIMULATION_SERVICES];
	struct martlet_turns turn[SIMULATION_SERVICES];
	struct martlet_backend backend[SIMULATION_BACKENDS];
	struct martlet_load load[SIMULATION_BACKENDS];
	__u8 is_alive[SIMULATION_BACKENDS];
	struct martlet_flow_bucket *buckets;
	__u64 events[MARTLET_FLOW_EVENT_COUNT];

	struct simulation_habits habits[SIMULATION_SERVICES];
	struct flow *flow;
	__u32 flow_count;
	__u64 now; /* milliseconds */
	__u64 random;
	__u64 strangers; /* SYNs of a flood until now */
	__u32 reopens;
	struct simulation_tally tally;
	struct simulation_cut first_cut;
};

/* The one whose packets are being looked at. */
static _Thread_local struct simulation *world;

static __u64 nanoseconds(void)
{
	return world->now * 1000000;
}

static void *look_up(void *map, const void *key)
{
	__u32 index = *(const __u32 *)key;

	/* The most frequent first: this is not optimised. */
	if (map == &small_slot_tables)
		return index < SIMULATION_SERVICES ? world->slots[index] : NULL;
	if (map == &flows)
		return index <= world->setting.flow_mask ? world->buckets + index : NULL;
	if (map == &settings)
		return &world->setting;
	if (map == &backends)
		return index < SIMULATION_BACKENDS ? world->backend + index : NULL;
	if (map == &backend_loads)
		return index < SIMULATION_BACKENDS ? world->load + index : NULL;
	if (map == &turns)
		return index < SIMULATION_SERVICES ? world->turn + index : NULL;
	if (map == &flow_counters)
		return index < MARTLET_FLOW_EVENT_COUNT ? world->events + index : NULL;
	if (map == &slot_tables)
		return index < SIMULATION_SERVICES ? world->slots[index] : NULL;
	for (__u32 id = 0; id < SIMULATION_SERVICES; id++)
		if (map == world->slots[id])
			return index * 2 <= world->service[id].slot_mask
				       ? world->slots[id] + index * 2
				       : NULL;
	abort();
}

/* xorshift64* */
static __u64 next_random(struct simulation *simulation)
{
	__u64 state = simulation->random;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	simulation->random = state;
	return state * 0x2545f4914f6cdd1dull;
}

static __u32 below(struct simulation *simulation, __u64 limit)
{
	return (__u32)((next_random(simulation) >> 32) * limit >> 32);
}

/* MurmurHash3's last step. */
static __u64 mixed(__u64 value)
{
	value = (value ^ value >> 33) * 0xff51afd7ed558ccdull;
	value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53ull;
	return value ^ value >> 33;
}

/*
 * The hash of the flow `number`, at random but for this: no two numbers have the same slot and the
 * same fingerprint, for such two are one to the flow table.
 */
static __u64 hash_of(__u64 number, __u32 slot_bits)
{
	__u32 bits = slot_bits + (64 - MARTLET_FLOW_FINGERPRINT_SHIFT);
	__u64 mask = (1ull << bits) - 1, own = (1ull << slot_bits) - 1, place = number & mask;

	place = place * 0x9e3779b97f4a7c15ull & mask;
	place ^= place >> (bits / 2);
	place = place * 0xbf58476d1ce4e5b9ull & mask;
	place ^= place >> (bits / 2 + 1);
	return (place >> slot_bits) << MARTLET_FLOW_FINGERPRINT_SHIFT |
	       (mixed(number) & ~MARTLET_FLOW_FINGERPRINT & ~own) | (place & own);
}

/* Strangers have the upper half of the numbers. */
static __u64 number_of_stranger(struct simulation *simulation, __u32 slot_bits)
{
	return simulation->strangers++ | 1ull << (slot_bits + 17);
}

static struct simulation_habits *habits_of(struct simulation *simulation, const struct flow *flow)
{
	return simulation->habits + flow->habits;
}

/* Where a packet goes; 0: nowhere. */
static __u32 send(struct simulation *simulation, __u64 hash, const struct simulation_habits *habits,
		  struct packet packet)
{
	struct martlet_service service = simulation->service[habits->service];
	struct choice choice = {.hash = hash, .service = service.id};
	enum martlet_verdict verdict;
	__u32 fallback;

	packet.family = 4;
	packet.flow.v4.protocol = habits->is_udp ? IPPROTO_UDP : IPPROTO_TCP;
	if (!service.id)
		return 0;
	verdict = choose_slot(&service, &packet, &choice, hash);
	if (verdict == FLOW_BEGINS) {
		fallback = choice.backend;
		verdict = choose_backend(&service, &choice, hash);
		if (verdict == MARTLET_UNDECIDED)
			verdict = record_flow(&service, &packet, &choice, hash, fallback);
	}
	if (verdict == MARTLET_DROP_BROKEN_TABLE)
		abort();
	return verdict == MARTLET_UNDECIDED ? choice.backend : 0;
}

/* Where the next packet of a flow would go, without a trace: as for an ICMP error about it. */
static __u32 ask(struct simulation *simulation, const struct flow *flow)
{
	return send(simulation, flow->hash, habits_of(simulation, flow),
		    (struct packet){.kind = PACKET_ICMP_ERROR});
}

static __u64 entry_of(struct simulation *simulation, const struct flow *flow)
{
	struct martlet_service *service =
		simulation->service + habits_of(simulation, flow)->service;
	struct flow_search search = {
		.hash = flow->hash,
		.slot = (__u32)flow->hash & service->slot_mask,
		.service = service->id,
	};

	return find_flow(&search, 0) ? search.word : 0;
}

static void report_cut(struct simulation *simulation, const struct flow *flow, __u32 got)
{
	struct martlet_service *service =
		simulation->service + habits_of(simulation, flow)->service;
	__u32 slot = (__u32)flow->hash & service->slot_mask;

	if (simulation->tally.cut++)
		return;
	simulation->first_cut = (struct simulation_cut){
		.hash = flow->hash,
		.service = service->id,
		.slot = slot,
		.word = simulation->slots[service->id][slot],
		.expected = flow->backend,
		.got = got,
		.is_closing = flow->life == CLOSING,
		.entry = entry_of(simulation, flow),
		.silence = simulation->now - flow->last,
	};
}

/* Most gaps are short, and some nearly as long as they may be. */
static __u64 gap(struct simulation *simulation, __u32 silence)
{
	__u32 kind = below(simulation, 16);

	if (kind < 10)
		return below(simulation, silence / 64 + 1);
	if (kind < 14)
		return below(simulation, silence / 6);
	return below(simulation, silence);
}

static void close_flow(struct simulation *simulation, struct flow *flow)
{
	flow->life = CLOSED;
	flow->is_excused = 0;
	flow->is_silent = 0;
	flow->due = simulation->now + gap(simulation, habits_of(simulation, flow)->silence) / 4;
}

static void begin_life(struct simulation *simulation, struct flow *flow)
{
	struct simulation_habits *habits = habits_of(simulation, flow);
	__u32 index = (__u32)(flow - simulation->flow);

	/* Half of them come back with the same ports. */
	if (!flow->lives || habits->is_udp || below(simulation, 2)) {
		__u64 numbers = 1ull << (habits->slot_bits + 17);
		__u64 turns = numbers / simulation->flow_count;

		flow->hash = hash_of(index + flow->lives % turns * simulation->flow_count,
				     habits->slot_bits);
	}
	flow->lives++;
	flow->packets = (__u8)below(simulation, 6);
}

/* When an established flow sends its next packet. */
static void wait_for_next(struct simulation *simulation, struct flow *flow)
{
	__u32 silence = habits_of(simulation, flow)->silence;

	flow->last = simulation->now;
	flow->due = simulation->now + gap(simulation, silence);
	if (below(simulation, 256))
		return;
	flow->is_silent = 1;
	flow->due = simulation->now + 1 + below(simulation, 8ull * silence);
}

static void open_flow(struct simulation *simulation, struct flow *flow)
{
	struct simulation_habits *habits = habits_of(simulation, flow);

	begin_life(simulation, flow);
	flow->backend =
		(__u16)send(simulation, flow->hash, habits,
			    (struct packet){.kind = PACKET_FLOW, .is_new_flow = !habits->is_udp});
	if (!flow->backend || !simulation->is_alive[flow->backend]) {
		simulation->tally.refused++;
		close_flow(simulation, flow);
		return;
	}
	flow->last = simulation->now;
	if (habits->is_udp) {
		flow->life = ESTABLISHED;
		simulation->tally.opened++;
		if (!entry_of(simulation, flow)) {
			simulation->tally.unremembered++;
			flow->is_excused = 1;
		}
		wait_for_next(simulation, flow);
		return;
	}
	flow->life = OPENING;
	flow->due = simulation->now + below(simulation, 2) * below(simulation, 3000);
}

static void confirm_flow(struct simulation *simulation, struct flow *flow)
{
	__u32 got = send(simulation, flow->hash, habits_of(simulation, flow),
			 (struct packet){.kind = PACKET_FLOW});

	if (got != flow->backend) {
		simulation->tally.handshakes++;
		close_flow(simulation, flow);
		return;
	}
	flow->life = ESTABLISHED;
	simulation->tally.opened++;
	wait_for_next(simulation, flow);
}

static void continue_flow(struct simulation *simulation, struct flow *flow)
{
	struct simulation_habits *habits = habits_of(simulation, flow);
	__u64 silence = simulation->now - flow->last;
	int ends = !flow->packets && !habits->is_udp;
	__u32 got;

	if (!flow->packets && habits->is_udp) {
		close_flow(simulation, flow);
		return;
	}
	got = send(simulation, flow->hash, habits,
		   (struct packet){.kind = PACKET_FLOW, .ends_flow = (__u8)ends});
	if (got != flow->backend) {
		if (flow->is_silent && silence > habits->silence)
			simulation->tally.forgotten++;
		else if (!flow->is_excused)
			report_cut(simulation, flow, got);
		close_flow(simulation, flow);
		return;
	}
	/* It was forgotten, and came back to the same backend, which has no room for it now. */
	if (habits->is_udp && flow->is_silent && !entry_of(simulation, flow))
		flow->is_excused = 1;
	flow->is_silent = 0;
	if (ends) {
		flow->life = CLOSING;
		flow->last = simulation->now;
		flow->due = simulation->now + below(simulation, 30000);
		return;
	}
	flow->packets--;
	wait_for_next(simulation, flow);
}

/* The FIN is repeated, or the last ACK sent. */
static void repeat_end(struct simulation *simulation, struct flow *flow)
{
	__u32 got = send(simulation, flow->hash, habits_of(simulation, flow),
			 (struct packet){.kind = PACKET_FLOW, .ends_flow = 1});

	if (got != flow->backend && !flow->is_excused)
		simulation->tally.repetitions++;
	close_flow(simulation, flow);
}

static void act(struct simulation *simulation, struct flow *flow)
{
	simulation->tally.packets++;
	switch (flow->life) {
	case CLOSED:
		if (simulation->reopens)
			open_flow(simulation, flow);
		else
			flow->due = simulation->now + 1000;
		break;
	case OPENING:
		confirm_flow(simulation, flow);
		break;
	case ESTABLISHED:
		continue_flow(simulation, flow);
		break;
	case CLOSING:
		repeat_end(simulation, flow);
		break;
	}
}

/* MARK: what others call */

struct simulation *simulation_create(const struct simulation_habits *habits, __u32 count,
				     __u32 flow_count, __u32 bucket_bits, __u64 seed)
{
	struct simulation *simulation = calloc(1, sizeof(*simulation));

	if (!simulation || count > SIMULATION_SERVICES || !flow_count)
		abort();
	simulation->flow = calloc(flow_count, sizeof(struct flow));
	simulation->buckets = aligned_alloc(64, sizeof(struct martlet_flow_bucket) << bucket_bits);
	if (!simulation->flow || !simulation->buckets)
		abort();
	memset(simulation->buckets, 0, sizeof(struct martlet_flow_bucket) << bucket_bits);
	simulation->setting.flow_mask = (1u << bucket_bits) - 1;
	simulation->flow_count = flow_count;
	simulation->random = mixed(seed) | 1;
	simulation->reopens = 1;
	memset(simulation->is_alive, 1, sizeof(simulation->is_alive));
	for (__u32 i = 0; i < count; i++) {
		__u32 id = habits[i].service;

		simulation->habits[i] = habits[i];
		simulation->service[id].slot_mask = (1u << habits[i].slot_bits) - 1;
		if (simulation->slots[id])
			continue;
		simulation->slots[id] = calloc(1ul << habits[i].slot_bits, sizeof(__u32));
		if (!simulation->slots[id])
			abort();
	}
	for (__u32 i = 0; i < flow_count; i++) {
		simulation->flow[i].habits = (__u8)(i % count);
		simulation->flow[i].due = below(simulation, 60000);
	}
	return simulation;
}

void simulation_destroy(struct simulation *simulation)
{
	for (__u32 id = 0; id < SIMULATION_SERVICES; id++)
		free(simulation->slots[id]);
	free(simulation->flow);
	free(simulation->buckets);
	free(simulation);
}

void simulation_set_service(struct simulation *simulation, __u32 service, __u32 flags)
{
	simulation->service[service].id = (__u16)service;
	simulation->service[service].flags = (__u16)flags;
}

__u32 *simulation_slots(struct simulation *simulation, __u32 service)
{
	return simulation->slots[service];
}

void simulation_set_backend(struct simulation *simulation, __u32 backend, __u32 service)
{
	simulation->backend[backend] = (struct martlet_backend){.service = service};
	simulation->load[backend] = (struct martlet_load){.latency = 1};
}

void simulation_set_load(struct simulation *simulation, __u32 backend, __u32 limit, __u32 weight,
			 __u32 is_closed)
{
	simulation->load[backend].limit = limit;
	simulation->load[backend].weight = (__u16)weight;
	simulation->load[backend].flags = is_closed ? MARTLET_LOAD_CLOSED : 0;
}

void simulation_add_flows(struct simulation *simulation, __u32 backend, __u32 count)
{
	simulation->load[backend].flows += count;
}

__u32 simulation_open_flows(struct simulation *simulation, __u32 backend)
{
	return simulation->load[backend].flows;
}

__u32 simulation_service_of(struct simulation *simulation, __u32 backend)
{
	return simulation->backend[backend].service;
}

void simulation_set_turns(struct simulation *simulation, __u32 service, __u32 length)
{
	simulation->turn[service].length = length;
}

void simulation_freeze(struct simulation *simulation, __u32 is_frozen)
{
	simulation->setting.flags = is_frozen ? MARTLET_SETTING_FROZEN : 0;
}

__u64 *simulation_entries(struct simulation *simulation)
{
	return simulation->buckets->word;
}

__u32 simulation_entry_count(struct simulation *simulation)
{
	return (simulation->setting.flow_mask + 1) * MARTLET_FLOW_LANES;
}

__u64 simulation_event_count(struct simulation *simulation, __u32 event)
{
	return simulation->events[event];
}

void simulation_run(struct simulation *simulation, __u64 milliseconds)
{
	world = simulation;
	simulation->now = milliseconds;
	for (__u32 i = 0; i < simulation->flow_count; i++)
		if (simulation->flow[i].due <= milliseconds)
			act(simulation, simulation->flow + i);
}

void simulation_nudge(struct simulation *simulation, __u32 count)
{
	world = simulation;
	for (__u32 i = 0; i < count; i++)
		act(simulation, simulation->flow + below(simulation, simulation->flow_count));
}

void simulation_flood(struct simulation *simulation, __u32 service, __u32 count)
{
	world = simulation;
	for (__u32 i = 0; i < SIMULATION_SERVICES; i++) {
		const struct simulation_habits *habits = simulation->habits + i;

		if (habits->service != service)
			continue;
		for (__u32 j = 0; j < count; j++)
			send(simulation,
			     hash_of(number_of_stranger(simulation, habits->slot_bits),
				     habits->slot_bits),
			     habits,
			     (struct packet){.kind = PACKET_FLOW, .is_new_flow = !habits->is_udp});
		return;
	}
}

void simulation_check(struct simulation *simulation)
{
	world = simulation;
	for (__u32 i = 0; i < simulation->flow_count; i++) {
		struct flow *flow = simulation->flow + i;
		__u32 got;

		if (flow->life != ESTABLISHED || flow->is_excused)
			continue;
		if (flow->is_silent &&
		    simulation->now - flow->last > habits_of(simulation, flow)->silence)
			continue;
		simulation->tally.checked++;
		got = ask(simulation, flow);
		/* Its next datagram is a first one, to a service that does not know it. */
		if (got == flow->backend &&
		    (!habits_of(simulation, flow)->is_udp || entry_of(simulation, flow)))
			continue;
		report_cut(simulation, flow, got);
		close_flow(simulation, flow);
	}
}

void simulation_set_alive(struct simulation *simulation, __u32 backend, __u32 is_alive)
{
	simulation->is_alive[backend] = (__u8)is_alive;
	if (!is_alive)
		simulation_excuse(simulation, backend);
}

void simulation_excuse(struct simulation *simulation, __u32 backend)
{
	for (__u32 i = 0; i < simulation->flow_count; i++) {
		struct flow *flow = simulation->flow + i;

		if (flow->life == CLOSED || flow->backend != backend)
			continue;
		simulation->tally.excused++;
		close_flow(simulation, flow);
	}
}

__u32 simulation_established(struct simulation *simulation, __u32 backend)
{
	__u32 count = 0;

	for (__u32 i = 0; i < simulation->flow_count; i++)
		count += simulation->flow[i].life == ESTABLISHED &&
			 simulation->flow[i].backend == backend;
	return count;
}

void simulation_reopen(struct simulation *simulation, __u32 is_wanted)
{
	simulation->reopens = is_wanted;
}

struct simulation_tally simulation_tally(const struct simulation *simulation)
{
	return simulation->tally;
}

struct simulation_cut simulation_first_cut(const struct simulation *simulation)
{
	return simulation->first_cut;
}
