/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel's side and ours agree on: every key, value, verdict and limit that crosses the
 * border. Included by every BPF program and, through the module CDatapath, by Swift: nothing in
 * here has a second definition.
 *
 * Only <linux/types.h> may be included: other kernel headers redefine what libc has, and Swift
 * sees both.
 */
#pragma once

#include <linux/types.h>

/*
 * Pinned maps outlive the program, and a build takes those of another over (docs/decisions/0006).
 * So structs that are values of maps grow only at their end, and there 0 means what was so before.
 * The number changes when that is not enough: when the meaning of what there is changes, a key, or
 * a struct inside another one. Then no build of another number takes the maps over.
 */
#define MARTLET_ABI 4

/*
 * What the words of a service's key are multiplied by to choose its bucket: 2^64 / golden ratio
 * (Knuth 6.4), and two primes of xxHash. Whoever may add services may fill buckets: no secret.
 */
#define MARTLET_MIX_1 0x9e3779b97f4a7c15ull
#define MARTLET_MIX_2 0xc2b2ae3d27d4eb4full
#define MARTLET_MIX_3 0x165667b19e3779f9ull

enum martlet_limit {
	/*
	 * A slot word names a backend in 15 bits; 0 is nobody. The file may hold fewer (see the
	 * limits of the configuration), so that a changed backend finds a free record.
	 */
	MARTLET_BACKEND_LIMIT = 1 << 15,
	/* Services that can be served at once; 0 is no service. */
	MARTLET_SERVICE_LIMIT = 1 << 14,
	/* Slots of one service: 256 KiB, which stays in the second-level cache. */
	MARTLET_SLOTS = 1 << 16,
	/* Output interfaces; 0 is none. */
	MARTLET_EGRESS_LIMIT = 1 << 8,
	/* Addresses for which one host takes tunnelled packets. */
	MARTLET_LOCAL_ADDRESS_LIMIT = 1 << 10,
	/* Keys of services of one family: a range of ports has one for each of them. */
	MARTLET_SERVICE_KEY_LIMIT = 1 << 16,
	/* Buckets of the indices: half of the places are free with as many keys as may be. */
	MARTLET_INDEX_BITS_V4 = 15,
	MARTLET_INDEX_BITS_V6 = 16,
	/* Places of a bucket. */
	MARTLET_PLACES_V4 = 4,
	MARTLET_PLACES_V6 = 2,
	/* VIPs, single addresses and prefixes together. */
	MARTLET_VIP_LIMIT = 1 << 14,
	/* Bits of the filter before the VIPs: 8 KiB, so that it stays in the first-level cache. */
	MARTLET_VIP_FILTER_BITS = 1 << 16,
	/* Prefixes in the access lists of all services: with 10,000 a look-up costs 200 ns. */
	MARTLET_ACCESS_LIMIT = 1 << 16,
	/* How long a note of a first fragment holds, in units of 2^30 ns: Linux's ipfrag_time. */
	MARTLET_FRAGMENT_AGE = 28,
	/* Packets of which fragments are under way; a later fragment comes within milliseconds. */
	MARTLET_FRAGMENT_LIMIT = 1 << 13,
	/* VLAN tags before the IP header: 802.1Q inside 802.1ad. */
	MARTLET_VLAN_LIMIT = 2,
	/* IPv6 extension headers before the transport header; RFC 8200 §4.1 has seven kinds. */
	MARTLET_EXTENSION_LIMIT = 4,
	/* Bytes of a packet that is too big which the ICMP error quotes. */
	MARTLET_QUOTE_BYTES = 128,
	/* Addresses that full-nat sends from; 0 is none. */
	MARTLET_NAT_ADDRESS_LIMIT = 1 << 8,
	/* Ports that share a bucket: their words are one cache line. */
	MARTLET_NAT_LANES = 8,
	/* Buckets of an address. Those of the ports below 1024 stay empty. */
	MARTLET_NAT_BUCKETS = (1 << 16) / MARTLET_NAT_LANES,
	MARTLET_NAT_FIRST_BUCKET = 1024 / MARTLET_NAT_LANES,
	/* Parts of all flows of one family, each of which has its NAT address. */
	MARTLET_NAT_SHARES = 1 << 8,
	/* Addresses and ports of backends whose answers are made the VIP's. */
	MARTLET_NAT_RETURN_LIMIT = 1 << 16,
	/* Slots looked through for the best of several backends: one cache line of words. */
	MARTLET_SLOT_GROUP = 16,
	/* Such groups, as long as all in them are full. */
	MARTLET_SLOT_GROUPS = 8,
	/* Flows that share a bucket of the flow table: one cache line. */
	MARTLET_FLOW_LANES = 8,
	/* Buckets of the flow table: 2 Mi flows in 16 MiB; the settings may say fewer. */
	MARTLET_FLOW_BUCKETS = 1 << 18,
	/* Handshakes under way that are timed. */
	MARTLET_NOTE_LIMIT = 1 << 12,
	/* ICMP errors that one CPU sends in a tick of the kernel's clock; more are dropped. */
	MARTLET_ERRORS_PER_TICK = 16,
};

/* An address of either family in network order; IPv4 is word 0, the others are zero. */
struct martlet_address {
	__be32 word[4];
};

/* Key of `services_v4`: what a client addressed. Straight from the packet, network byte order. */
struct martlet_service_v4 {
	__be32 address;
	__be16 port;   /* 0: any port */
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 zero;     /* the map compares all 8 bytes */
};

/* Key of `services_v6`. A map of its own, so that an IPv4 key is 8 bytes and not 20. */
struct martlet_service_v6 {
	struct martlet_address address;
	__be16 port;
	__u8 protocol;
	__u8 zero;
};

/* Value of both. */
struct martlet_service {
	__u16 id;	 /* index of `slot_tables` and of `service_counters`; never 0 */
	__u16 flags;	 /* enum martlet_service_flag */
	__u32 slot_mask; /* number of slots - 1; the number is a power of two */
};

enum martlet_service_flag {
	/* Not every source may use it: `access` says which. */
	MARTLET_SERVICE_HAS_ACCESS_LIST = 1 << 0,
	/* A source that no prefix in `access` covers may not use it. */
	MARTLET_SERVICE_DENIES_OTHERS = 1 << 1,
	/* Its backends see addresses of ours: every flow has an entry in `nat_tables`. */
	MARTLET_SERVICE_FULL_NAT = 1 << 2,
	/*
	 * Every flow has an entry in `flows`: UDP, of which a first packet can't be told from a
	 * later one, and whatever does not choose by the flow's hash alone. Not with full-nat,
	 * where the NAT flows do that.
	 */
	MARTLET_SERVICE_TRACKS = 1 << 3,
	/* The slot comes from a hash without the client's port: a client keeps to one backend. */
	MARTLET_SERVICE_CLIENT_AFFINITY = 1 << 4,
	/* Which slot a new flow takes; neither: that of its hash. */
	MARTLET_SERVICE_ROUND_ROBIN = 1 << 5, /* one after the other: `turns` */
	MARTLET_SERVICE_LEAST_COST = 1 << 6,  /* that of the backend with the lowest cost */
	/* From SYN to SYN-ACK is timed, where both pass here: `backend_loads` has the result. */
	MARTLET_SERVICE_TIMES_ANSWERS = 1 << 7,
	/*
	 * Only in the first place of a bucket of an index, taken or free: not every key of the
	 * bucket has a place in it. What is not found there may be in the map.
	 */
	MARTLET_SERVICE_BUCKET_OVERFLOWS = 1 << 15,
};

/*
 * What `services_v4` says once more, where a packet finds it with one cache line: an array of
 * buckets, indexed by a hash of the key (see service.h). The controller writes the service of a
 * place before its key, so that who finds the key finds what belongs to it. To free a place it
 * clears the key, and waits for the packets that may have seen it before it uses the place again.
 */
struct martlet_place_v4 {
	__u64 key; /* the bytes of struct martlet_service_v4; 0: the place is free */
	struct martlet_service service;
};

struct martlet_bucket_v4 {
	struct martlet_place_v4 place[MARTLET_PLACES_V4];
};

/* The same for `services_v6`. */
struct martlet_place_v6 {
	__u64 address[2];
	__u64 port; /* with the protocol, as in struct martlet_service_v6; 0: the place is free */
	struct martlet_service service;
};

struct martlet_bucket_v6 {
	struct martlet_place_v6 place[MARTLET_PLACES_V6];
};

/*
 * Key of `vips`, a trie of prefixes: the VIPs of both families, IPv4 as ::ffff:a.b.c.d (RFC 4291
 * §2.5.5.2). Asked only when there is no service with the exact address and port.
 */
struct martlet_vip_key {
	__u32 prefix_bits; /* of `address`, 0 to 128; the kernel wants this first */
	struct martlet_address address;
};

/* Value of `vips`. */
struct martlet_vip {
	struct martlet_address base; /* the address in the keys of its services; IPv4 in word 0 */
	__u32 flags;		     /* enum martlet_vip_flag */
};

enum martlet_vip_flag {
	/* Echo requests (ping) are answered. */
	MARTLET_VIP_ANSWERS_ECHO = 1 << 0,
	/* Packets for a port without service are dropped, not left to the kernel. */
	MARTLET_VIP_DROPS_OTHERS = 1 << 1,
};

/*
 * Key of `access`, a trie: which sources may use a service. The longest prefix decides. All bits
 * of the service count, so that `prefix_bits` is 32 + those of the address, IPv4 as in `vips`.
 */
struct martlet_access_key {
	__u32 prefix_bits;
	__u32 service; /* its id */
	struct martlet_address source;
};

/* Value of `access`. */
enum martlet_access {
	MARTLET_ACCESS_ALLOW = 1,
	MARTLET_ACCESS_DENY = 2,
};

/*
 * Key of `fragments`: what those of one packet have in common (RFC 791 §2.3, RFC 8200 §4.5);
 * addresses of IPv4 as in `vips`.
 */
struct martlet_fragment_key {
	struct martlet_address source;
	struct martlet_address destination;
	__be32 identification; /* IPv4's two bytes are the first two */
	__u8 protocol;	       /* of IPv4; 0 for IPv6, where fragments may differ in it */
	__u8 family;	       /* 4 or 6 */
	__u16 zero;
};

/* Value of `fragments`: where the first one went. */
struct martlet_fragment {
	__u32 service; /* its id */
	__u32 backend; /* its id */
	__u64 hash;    /* of the flow: later fragments take the same path in a tunnel */
	__u32 nat;     /* the flow's place among the NAT flows; 0: it has none */
	__u32 left;    /* when, in units of 2^30 ns */
	struct martlet_address vip; /* of an answer: its source from then on */
};

/*
 * One slot of a service: which backend has the flows that hash to it.
 * Written by one store, so that a packet never meets half a decision.
 */
enum martlet_slot_word {
	MARTLET_SLOT_OWNER = 0x7fff,	    /* id of the backend that gets new flows; 0: nobody */
	MARTLET_SLOT_LOOK = 1 << 15,	    /* some flows have an entry in `flows` */
	MARTLET_SLOT_FORMER = 0x7fff << 16, /* id of who has those without one; 0: the owner */
	MARTLET_SLOT_FORMER_SHIFT = 16,
	MARTLET_SLOT_PIN = (int)(1u << 31), /* make an entry for those without one */
};

/*
 * A flow in `flows`, in one word, so that it is made, renewed and removed by one compare-and-swap.
 * 0: the place is free. Docs: life-of-a-packet.md §6.
 */
#define MARTLET_FLOW_BACKEND	 0x0000000000007fffull /* its id */
#define MARTLET_FLOW_SLOT	 0x000000007fff8000ull /* of its service */
#define MARTLET_FLOW_STATE	 0x0000000380000000ull /* enum martlet_flow_state */
#define MARTLET_FLOW_EPOCH	 0x00003ffc00000000ull /* of its last packet, in units of 2^33 ns */
#define MARTLET_FLOW_FINGERPRINT 0xffffc00000000000ull /* these bits of its hash, as they are */

enum martlet_flow_shift {
	MARTLET_FLOW_SLOT_SHIFT = 15,
	MARTLET_FLOW_STATE_SHIFT = 31,
	MARTLET_FLOW_EPOCH_SHIFT = 34,
	MARTLET_FLOW_EPOCH_BITS = 12,
	MARTLET_FLOW_FINGERPRINT_SHIFT = 46,
	/* Where the bits of the hash begin that name a flow's first bucket. */
	MARTLET_FLOW_BUCKET_SHIFT = 16,
	/* Nanoseconds of an epoch, as a power of two: 8.6 s, so that 4,096 are 9.8 h. */
	MARTLET_FLOW_TICK_SHIFT = 33,
};

enum martlet_flow_state {
	MARTLET_FLOW_FREE,
	MARTLET_FLOW_HALF_OPEN,	  /* the client has sent nothing but SYN */
	MARTLET_FLOW_ESTABLISHED, /* it has */
	MARTLET_FLOW_CLOSING,	  /* it has sent FIN or RST */
	MARTLET_FLOW_DATAGRAMS,	  /* UDP */
	/* No flow: the backend of a client with affinity, found by the hash without its port. */
	MARTLET_FLOW_AFFINITY,
	MARTLET_FLOW_STATE_COUNT,
};

/* What a flow's fingerprint is multiplied by to get from one of its buckets to the other. */
#define MARTLET_FLOW_MIX 0x5bd1e995u

/* Value of `flows`. One cache line. */
struct martlet_flow_bucket {
	__u64 word[MARTLET_FLOW_LANES];
};

/* What happened in `flows`: indices of `flow_counters`. */
enum martlet_flow_event {
	MARTLET_FLOW_MADE,    /* an entry was made */
	MARTLET_FLOW_REFUSED, /* none was made: both buckets are full */
	MARTLET_FLOW_EVICTED, /* one was made in place of one that had to make room */
	MARTLET_FLOW_FROZEN,  /* none was made: MARTLET_SETTING_FROZEN */
	MARTLET_FLOW_EVENT_COUNT,
};

/* Value of `turns`, indexed by the service's id. */
struct martlet_turns {
	__u64 taken;  /* new flows until now; counted by the program */
	__u32 length; /* after so many slots the order begins again; 0: all slots */
	__u32 unused;
};

/* Value of `backend_loads`, indexed by the backend's id. The cost of a new flow is
 * latency * (flows + 1) / weight. */
struct martlet_load {
	__u32 flows;   /* open ones; counted by the program, set right by the controller */
	__u32 limit;   /* of flows; 0: none */
	__u32 latency; /* in microseconds; 1 if only flows count; 0 counts as 1 */
	__u16 weight;  /* 0 counts as 1 */
	__u16 flags;   /* enum martlet_load_flag */
};

enum martlet_load_flag {
	/* It gets no new flows, and no client has affinity to it any more. */
	MARTLET_LOAD_CLOSED = 1 << 0,
	/* Its flows can't live: those of full-nat go on no more. */
	MARTLET_LOAD_LOST = 1 << 1,
};

/* Value of a slot table. The kernel rounds elements up to 8 bytes, so two words share one. */
struct martlet_slot_pair {
	__u32 word[2];
};

/* How packets reach a backend. */
enum martlet_forwarding {
	MARTLET_L2_DSR = 1,
	MARTLET_IPIP = 2,
	MARTLET_GUE = 3,
	MARTLET_NAT = 4,
	MARTLET_FULL_NAT = 5,
};

/*
 * Where a packet for a backend goes next. Eight bytes, so that a changed neighbour is one store
 * and no packet leaves on one interface with the MAC address meant for another.
 */
struct martlet_next_hop {
	__u8 mac[6];
	__u16 egress; /* index of `egresses`; 0: the next hop is not known */
};

/* Value of `backends`, indexed by the backend's id. One cache line. */
struct martlet_backend {
	struct martlet_next_hop next_hop;
	__u32 service;	    /* id of the service that it belongs to; 0: the record is free */
	__u8 forwarding;    /* enum martlet_forwarding */
	__u8 family;	    /* of both addresses: 4 or 6 */
	__be16 tunnel_port; /* of GUE: the UDP port of the receiver */
	struct martlet_address address; /* of the backend; the outer destination */
	struct martlet_address source;	/* ours on the way there; the outer source */
	/*
	 * Bits of the last word of `source` (IPv4: the only one) that come from the flow's hash, so
	 * that a receiver spreads the flows of one balancer over its queues; they are 0 there.
	 */
	__be32 source_entropy;
	__be16 port; /* of the NAT modes: where the backend takes it; 0: the service's port */
	/* Of the route there, in bytes, with all headers; 0: no less than the egress carries. */
	__u16 mtu;
	__u8 unused[8];
};

/* Key of `nat_returns`: from where a backend of a `nat` service answers. */
struct martlet_nat_key {
	struct martlet_address backend; /* as in `vips` */
	__be16 port;			/* 0: any port */
	__u8 protocol;
	__u8 zero;
};

/* Value of `nat_returns`: as whose the answer leaves. */
struct martlet_nat_return {
	struct martlet_address vip; /* as in `vips` */
	__be16 port;		    /* 0: as it is */
	__u16 zero;
};

/*
 * Value of `nat_shares`: at which NAT address the flows of a share are, as an index of
 * `nat_sources`. Those of IPv4 come first.
 */
struct martlet_nat_share {
	__u16 owner;  /* 0: there is none */
	__u16 former; /* where flows that were opened before may still be; 0: nowhere */
};

/*
 * What is known of a flow at a glance, in one word, so that a CPU gets hold of a port by one
 * compare-and-swap. 0: the port is free.
 */
enum martlet_nat_word {
	MARTLET_NAT_STATE = 7,	      /* enum martlet_nat_state */
	MARTLET_NAT_TIME_SHIFT = 3,   /* 29 bits: when it was last used, in units of 2^30 ns */
	MARTLET_NAT_TIME_BITS = 29,
	MARTLET_NAT_TAG_SHIFT = 32,   /* 32 bits: the upper half of the flow's hash */
};

enum martlet_nat_state {
	MARTLET_NAT_FREE,
	MARTLET_NAT_MAKING,	 /* a CPU is about to write it */
	MARTLET_NAT_OPENING,	 /* the client has sent SYN */
	MARTLET_NAT_ANSWERED,	 /* the backend has answered it */
	MARTLET_NAT_ESTABLISHED, /* the client has sent something else than SYN since */
	MARTLET_NAT_CLOSING,	 /* one of them has sent FIN or RST */
	MARTLET_NAT_ASKING,	 /* UDP: the backend has not answered */
	MARTLET_NAT_TALKING,	 /* UDP: it has */
	MARTLET_NAT_STATE_COUNT,
};

/*
 * How long a flow keeps its port while nothing is sent, in units of 30 * 2^30 ns, one byte for
 * each martlet_nat_state. Established: two hours and four minutes, closing: four minutes (RFC 5382
 * §5, REQ-5); UDP: five minutes (RFC 4787 §4.3, REQ-5). What opens keeps it for less than the four
 * minutes of RFC 5382, for a flood of SYNs would have all ports.
 */
#define MARTLET_NAT_IDLE_UNIT	30
#define MARTLET_NAT_IDLE_LIMITS 0x0a0a08f802010100ull
/* The same when a new flow finds no free port: what nobody confirmed, or is over, makes room. */
#define MARTLET_NAT_TIGHT_LIMITS 0x0a0002f800000100ull

/* The rest of what is known of a flow of `full-nat`. One cache line. Addresses as in `vips`. */
struct martlet_nat_flow {
	struct martlet_address client;
	struct martlet_address vip; /* that the client addressed */
	struct martlet_address backend;
	__be16 client_port;
	__be16 vip_port;
	__be16 backend_port;
	__u16 backend_id;
	/* From where the client's packets come: the way of answers. Egress 0: ask the kernel. */
	struct martlet_next_hop last_hop;
};

/* Value of the tables of one NAT address: eight ports. The number of a bucket is port / 8. */
struct martlet_nat_bucket {
	__u64 word[MARTLET_NAT_LANES];
	struct martlet_nat_flow flow[MARTLET_NAT_LANES];
};

/* A VLAN tag: IEEE 802.1Q §9. */
struct martlet_vlan {
	__be16 protocol; /* 0x8100 or 0x88a8; 0: no tag */
	__be16 control;	 /* priority, drop eligible, and the VLAN's number */
};

/*
 * Value of `egresses`: an interface that packets leave by. A VLAN is an egress of its own, with
 * the number of the card below it. Whatever tags a packet came with, it leaves with these.
 */
struct martlet_egress {
	__u32 interface; /* the kernel's index; 0: the record is free */
	__u16 mtu;	 /* of IP packets, in bytes */
	__u8 mac[6];	 /* the source of the frames */
	__u32 flags;	 /* enum martlet_egress_flag */
	struct martlet_vlan vlan[MARTLET_VLAN_LIMIT]; /* from the outside in */
};

enum martlet_egress_flag {
	/*
	 * A frame that leaves by the interface it came in by is redirected there, not returned with
	 * XDP_TX: veth puts the latter into its peer's ring and wakes the peer only if that one has
	 * an XDP program too, so that frames wait there for other traffic (docs/decisions/).
	 */
	MARTLET_EGRESS_REDIRECT_BACK = 1 << 0,
};

/* Value of the only entry of `settings`. It outlives the program, and with it where flows go. */
struct martlet_settings {
	__u32 abi;	   /* MARTLET_ABI of who made the maps */
	__u32 flags;	   /* enum martlet_setting */
	__u64 hash_key[2]; /* of SipHash-1-3: secret, or an attacker could aim at one backend */
	__u32 flow_mask;   /* number of buckets of `flows` that are in use - 1 */
	__u32 unused;
};

enum martlet_setting {
	/* Answers leave as MARTLET_EGRESS_REDIRECT_BACK says: an interface of ours is a veth. */
	MARTLET_SETTING_REDIRECT_REPLIES = 1 << 0,
	/* Some service is `nat`: `nat_returns` is to be asked. */
	MARTLET_SETTING_NAT_RETURNS = 1 << 1,
	/* There are addresses to send from: `nat_addresses` is to be asked. */
	MARTLET_SETTING_NAT_ADDRESSES = 1 << 2,
	/* `flows` is under pressure: no new flow makes an entry, each goes where it needs none. */
	MARTLET_SETTING_FROZEN = 1 << 3,
};

/* What the slot is a hash of: the bytes of the flow as they are in the packet. */
struct martlet_flow_v4 {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3];
};

struct martlet_flow_v6 {
	struct martlet_address source;
	struct martlet_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3];
};

/* What is hashed of each: without `zero`, so that SipHash's length has room in the last word. */
enum martlet_flow_bytes {
	MARTLET_FLOW_BYTES_V4 = __builtin_offsetof(struct martlet_flow_v4, zero),
	MARTLET_FLOW_BYTES_V6 = __builtin_offsetof(struct martlet_flow_v6, zero),
};

/* Value of the counters, one for each CPU. Bytes are those of the frame as it was received. */
struct martlet_count {
	__u64 packets;
	__u64 bytes;
};

/* The same for services and backends. */
struct martlet_traffic {
	__u64 packets;
	__u64 bytes;
	__u64 flows; /* new ones: TCP packets with SYN and without ACK */
};

/* Value of `error_budget`, one for each CPU: how many ICMP errors went out in this tick. */
struct martlet_budget {
	__u64 tick; /* jiffies */
	__u64 spent;
};

/*
 * What became of a packet: every packet gets exactly one verdict, so that these counters sum to
 * the packets received. The name's first word says what the kernel is told to do with it.
 */
/* clang-format off: it takes the lists for calls, one inside the other. */
#define MARTLET_FORWARDS(verdict) \
	verdict(FORWARD_L2_DSR, "forwarded with the backend's MAC address") \
	verdict(FORWARD_IPIP, "forwarded in an IP tunnel") \
	verdict(FORWARD_GUE, "forwarded in a UDP tunnel") \
	verdict(FORWARD_NAT, "forwarded with the backend's address and port") \
	verdict(FORWARD_FULL_NAT, "forwarded with the backend's address, from one of ours") \
	verdict(FORWARD_RETURN, "answer of a NAT backend, sent to its client as the VIP's")

#define MARTLET_REPLIES(verdict) \
	verdict(REPLY_ECHO, "ping to a VIP, answered") \
	verdict(REPLY_TOO_BIG, "too big for the way to the backend: the sender was told")

#define MARTLET_PASSES(verdict) \
	verdict(PASS_NOT_IP, "neither IPv4 nor IPv6: left to the kernel") \
	verdict(PASS_NO_SERVICE, "not for a VIP: left to the kernel") \
	verdict(PASS_VIP_PORT, "for a VIP, but no service has that port: left to the kernel") \
	verdict(PASS_VIP_PROTOCOL, "for a VIP, but neither TCP, UDP nor ICMP: left to the kernel") \
	verdict(PASS_ICMP, "ICMP for a VIP that concerns no flow: left to the kernel") \
	verdict(PASS_RETURN, "answer of a NAT backend, made the VIP's: the kernel takes it on") \
	verdict(PASS_NO_ROUTE, "answer of a NAT backend that the kernel may not forward") \
	verdict(PASS_NAT_ADDRESS, "for a NAT address, but of no flow: left to the kernel")

#define MARTLET_DROPS(verdict) \
	verdict(DROP_TRUNCATED, "header cut short") \
	verdict(DROP_MALFORMED, "header contradicts itself") \
	verdict(DROP_MARTIAN, "for a VIP, from or to an address that no such packet can have") \
	verdict(DROP_EXTENSIONS, "for a VIP, with too many IPv6 extension headers") \
	verdict(DROP_SOURCE_ROUTED, "for a VIP, on a way that its sender chose") \
	verdict(DROP_TUNNEL, "tunnel to a VIP: balancers would pass it round in circles") \
	verdict(DROP_FRAGMENT, "fragment for a VIP whose first one was not seen") \
	verdict(DROP_FRAGMENT_OVERLAP, "fragment for a VIP that would overwrite a header") \
	verdict(DROP_VIP_PORT, "for a VIP, but no service has that port") \
	verdict(DROP_SOURCE_DENIED, "source not allowed by the service's access list") \
	verdict(DROP_EXPIRED, "at the end of its time to live") \
	verdict(DROP_NO_BACKEND, "no backend of the service can serve") \
	verdict(DROP_BACKENDS_FULL, "backends of the service have as many flows as they may") \
	verdict(DROP_NAT_EXHAUSTED, "no NAT port is free: add addresses to the pool") \
	verdict(DROP_NAT_NO_FLOW, "for a full-nat service, of no flow that was opened here") \
	verdict(DROP_NAT_BUSY, "flow being opened by another CPU at this moment") \
	verdict(DROP_NO_NEXT_HOP, "next hop of the backend is not known") \
	verdict(DROP_TOO_BIG, "too big for the way, and too many such to say so") \
	verdict(DROP_NO_ROOM, "no room in the buffer for the outer header") \
	verdict(DROP_BROKEN_TABLE, "tables contradict each other: please report this")

/* clang-format on */
#define MARTLET_ENUMERATE(name, text) MARTLET_##name,

enum martlet_verdict {
	MARTLET_UNDECIDED, /* not a verdict: the packet goes on; its counter stays 0 */
	MARTLET_FORWARDS(MARTLET_ENUMERATE) MARTLET_REPLIES(MARTLET_ENUMERATE)
		MARTLET_PASSES(MARTLET_ENUMERATE) MARTLET_DROPS(MARTLET_ENUMERATE)
			MARTLET_VERDICT_COUNT,
};

/* Where in that order each kind begins. */
#define MARTLET_ONE_MORE(name, text) +1

enum martlet_verdict_kind {
	MARTLET_FIRST_REPLY = 1 MARTLET_FORWARDS(MARTLET_ONE_MORE),
	MARTLET_FIRST_PASS = MARTLET_FIRST_REPLY MARTLET_REPLIES(MARTLET_ONE_MORE),
	MARTLET_FIRST_DROP = MARTLET_FIRST_PASS MARTLET_PASSES(MARTLET_ONE_MORE),
};

/* The same for the program at the other end of a tunnel. */
/* clang-format off */
#define MARTLET_DECAPSULATIONS(verdict) \
	verdict(DECAPSULATED_IPV4, "IPv4 packet taken out of its tunnel") \
	verdict(DECAPSULATED_IPV6, "IPv6 packet taken out of its tunnel") \
	verdict(DECAPSULATED_GUE, "packet taken out of its UDP tunnel") \
	verdict(PASS_NOT_TUNNELLED, "not an IP tunnel's: left to the kernel") \
	verdict(PASS_NOT_ADDRESSED, "tunnel of another host: left to the kernel") \
	verdict(PASS_TUNNEL_FRAGMENT, "fragment of a tunnel's packet: left to the kernel")

#define MARTLET_DECAPSULATION_DROPS(verdict) \
	verdict(DROP_TUNNEL_TRUNCATED, "header cut short") \
	verdict(DROP_TUNNEL_MALFORMED, "header contradicts itself") \
	verdict(DROP_TUNNEL_NO_ROOM, "buffer could not be shortened")

/* clang-format on */
enum martlet_decapsulation {
	MARTLET_UNDECAPSULATED, /* not a verdict */
	MARTLET_DECAPSULATIONS(MARTLET_ENUMERATE) MARTLET_DECAPSULATION_DROPS(MARTLET_ENUMERATE)
		MARTLET_DECAPSULATION_COUNT,
	MARTLET_DECAPSULATION_FIRST_DROP = 1 MARTLET_DECAPSULATIONS(MARTLET_ONE_MORE),
};

/* Key of `local_addresses`: for whom this host takes packets out of tunnels. */
struct martlet_local_address {
	struct martlet_address address;
	__u32 family; /* 4 or 6 */
};

_Static_assert(sizeof(struct martlet_address) == 16, "no hole");
_Static_assert(sizeof(struct martlet_service_v4) == 8, "no hole: the map hashes every byte");
_Static_assert(sizeof(struct martlet_service_v6) == 20, "no hole: the map hashes every byte");
_Static_assert(sizeof(struct martlet_service) == 8, "no hole");
_Static_assert(sizeof(struct martlet_bucket_v4) == 64, "one cache line");
_Static_assert(sizeof(struct martlet_bucket_v6) == 64, "one cache line");
_Static_assert(MARTLET_PLACES_V4 << MARTLET_INDEX_BITS_V4 == 2 * MARTLET_SERVICE_KEY_LIMIT,
	       "half of the places stay free");
_Static_assert(MARTLET_PLACES_V6 << MARTLET_INDEX_BITS_V6 == 2 * MARTLET_SERVICE_KEY_LIMIT,
	       "half of the places stay free");
_Static_assert(sizeof(struct martlet_vip_key) == 20, "no hole: the trie compares every bit");
_Static_assert(sizeof(struct martlet_vip) == 20, "no hole");
_Static_assert(sizeof(struct martlet_access_key) == 24, "no hole: the trie compares every bit");
_Static_assert(sizeof(struct martlet_fragment_key) == 40, "no hole: the map hashes every byte");
_Static_assert(sizeof(struct martlet_fragment) == 40, "no hole");
_Static_assert(sizeof(struct martlet_nat_key) == 20, "no hole: the map hashes every byte");
_Static_assert(sizeof(struct martlet_nat_return) == 20, "no hole");
_Static_assert(sizeof(struct martlet_nat_share) == 4, "read by one load");
_Static_assert(sizeof(struct martlet_nat_flow) == 64, "one cache line");
_Static_assert(sizeof(struct martlet_nat_bucket) == 576, "nine cache lines");
_Static_assert(MARTLET_NAT_STATE_COUNT - 1 <= MARTLET_NAT_STATE, "every state fits the word");
_Static_assert(MARTLET_NAT_TIME_SHIFT + MARTLET_NAT_TIME_BITS == MARTLET_NAT_TAG_SHIFT,
	       "the fields fill the word and do not overlap");
_Static_assert(sizeof(struct martlet_traffic) == 24, "no hole");
_Static_assert(sizeof(struct martlet_vlan) == 4, "as in the frame");
_Static_assert(MARTLET_SERVICE_LIMIT <= 1 << 16, "every id fits martlet_service");
_Static_assert(sizeof(struct martlet_slot_pair) == 8, "what the kernel rounds an element to");
_Static_assert(sizeof(struct martlet_next_hop) == 8, "replaced by one store");
_Static_assert(sizeof(struct martlet_backend) == 64, "one cache line");
_Static_assert(__builtin_offsetof(struct martlet_backend, next_hop) == 0, "aligned for its store");
_Static_assert(__builtin_offsetof(struct martlet_backend, address) == 16, "no hole");
_Static_assert(__builtin_offsetof(struct martlet_backend, source) == 32, "no hole");
_Static_assert(__builtin_offsetof(struct martlet_backend, unused) == 56, "no hole");
_Static_assert(sizeof(struct martlet_egress) == 24, "no hole");
_Static_assert(__builtin_offsetof(struct martlet_egress, mac) == 6, "no hole");
_Static_assert(sizeof(struct martlet_settings) == 32, "no hole");
_Static_assert(sizeof(struct martlet_flow_bucket) == 64, "one cache line");
_Static_assert(sizeof(struct martlet_turns) == 16, "no hole");
_Static_assert(sizeof(struct martlet_load) == 16, "no hole");
_Static_assert((MARTLET_FLOW_BACKEND ^ MARTLET_FLOW_SLOT ^ MARTLET_FLOW_STATE ^ MARTLET_FLOW_EPOCH ^
		MARTLET_FLOW_FINGERPRINT) == ~0ull,
	       "the five fields fill the word and do not overlap");
_Static_assert(sizeof(struct martlet_flow_v4) == 16, "two words of SipHash");
_Static_assert(sizeof(struct martlet_flow_v6) == 40, "five words of SipHash");
_Static_assert(sizeof(struct martlet_count) == 16, "no hole");
_Static_assert(sizeof(struct martlet_local_address) == 20, "no hole: the map hashes every byte");
_Static_assert((MARTLET_SLOTS & (MARTLET_SLOTS - 1)) == 0, "a mask makes the index");
_Static_assert(MARTLET_BACKEND_LIMIT - 1 == MARTLET_SLOT_OWNER, "every id fits a slot word");
_Static_assert((MARTLET_SLOT_OWNER ^ MARTLET_SLOT_LOOK ^ MARTLET_SLOT_FORMER ^ MARTLET_SLOT_PIN) ==
		       -1,
	       "the four fields fill the word and do not overlap");
