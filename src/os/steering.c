/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Without these programs the kernel would spread datagrams by a hash of addresses, which all links
 * to one peer share, and TUN packets by what it has learnt, which changes while a flow is active.
 * The one for packets is written in the kernel's instructions rather than compiled, as it is short;
 * LD_ABS and LD_IND, which only socket filters have, end the program with 0 where the packet is too
 * short. Both are checked against the functions in net/steer.c by a test.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/steering.h"

/* ---- datagrams ---- */

enum qe_error qe_steer_datagrams(int socket, unsigned workers)
{
	/* The first byte of the destination connection ID, RFC 9000 section 17. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x80, 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), /* long header */
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1), /* short header */
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(
		       socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) == 0
		       ? QE_OK
		       : qe_error_errno();
}

/* ---- packets ---- */

#define LOAD(size, offset) {BPF_LD | BPF_ABS | (size), 0, 0, 0, (offset)}
#define LOAD_AT(size, place, offset) {BPF_LD | BPF_IND | (size), 0, (place), 0, (offset)}
#define MOVE(to, from) {BPF_ALU | BPF_MOV | BPF_X, (to), (from), 0, 0}
#define SET(to, value) {BPF_ALU | BPF_MOV | BPF_K, (to), 0, 0, (value)}
#define WITH(operation, to, from) {BPF_ALU | (operation) | BPF_X, (to), (from), 0, 0}
#define WITH_NUMBER(operation, to, number) \
	{BPF_ALU | (operation) | BPF_K, (to), 0, 0, (int32_t)(number)}
#define SKIP(n) {BPF_JMP | BPF_JA, 0, 0, (n), 0}
#define SKIP_IF(condition, what, value, n) {BPF_JMP | (condition) | BPF_K, (what), 0, (n), (value)}
#define FOLD(offset) LOAD(BPF_W, (offset)), WITH(BPF_XOR, ADDRESSES, R0)

/* R0 is what a load gives, and what the program returns; a load spoils R1 to R5, and wants its
 * context in R6. */
enum {
	R0 = BPF_REG_0,
	CONTEXT = BPF_REG_6,
	ADDRESSES = BPF_REG_7,
	REST = BPF_REG_8,
	PORTS = BPF_REG_9,
	ARGUMENT = BPF_REG_1,
	SHIFTED = BPF_REG_1,
};

/* The number of instructions that a jump passes over stands with each. */
static const struct bpf_insn packet_program[] = {
	{BPF_ALU64 | BPF_MOV | BPF_X, CONTEXT, ARGUMENT, 0, 0},
	SET(ADDRESSES, 0),
	LOAD(BPF_B, 0),
	WITH_NUMBER(BPF_RSH, R0, 4),
	SKIP_IF(BPF_JEQ, R0, 6, 18), /* to IPv6 */
	SKIP_IF(BPF_JEQ, R0, 4, 2),
	SET(R0, 0),
	{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},

	/* IPv4 */
	FOLD(12),
	FOLD(16),
	LOAD(BPF_B, 9),
	MOVE(REST, R0),
	WITH_NUMBER(BPF_LSH, REST, 16),
	LOAD(BPF_B, 0),
	WITH_NUMBER(BPF_AND, R0, 15),
	WITH_NUMBER(BPF_LSH, R0, 2),
	MOVE(PORTS, R0),
	LOAD(BPF_H, 6),
	WITH_NUMBER(BPF_AND, R0, 0x3fff),
	SKIP_IF(BPF_JEQ, R0, 0, 21), /* no fragment: to the ports */
	SKIP(27),                    /* to the end */

	/* IPv6 */
	FOLD(8),
	FOLD(12),
	FOLD(16),
	FOLD(20),
	FOLD(24),
	FOLD(28),
	FOLD(32),
	FOLD(36),
	LOAD(BPF_B, 6),
	MOVE(REST, R0),
	WITH_NUMBER(BPF_LSH, REST, 16),
	SET(PORTS, 40),

	/* The ports, of TCP and UDP. */
	SKIP_IF(BPF_JEQ, REST, 6 << 16, 2),
	SKIP_IF(BPF_JEQ, REST, 17 << 16, 1),
	SKIP(4),
	LOAD_AT(BPF_H, PORTS, 0),
	WITH(BPF_ADD, REST, R0),
	LOAD_AT(BPF_H, PORTS, 2),
	WITH(BPF_ADD, REST, R0),

	/* The end: mix, as net/steer.c does. */
	MOVE(R0, REST),
	WITH_NUMBER(BPF_MUL, R0, 0x9e3779b1),
	WITH(BPF_XOR, R0, ADDRESSES),
	MOVE(SHIFTED, R0),
	WITH_NUMBER(BPF_RSH, SHIFTED, 16),
	WITH(BPF_XOR, R0, SHIFTED),
	WITH_NUMBER(BPF_MUL, R0, 0x85ebca6b),
	MOVE(SHIFTED, R0),
	WITH_NUMBER(BPF_RSH, SHIFTED, 13),
	WITH(BPF_XOR, R0, SHIFTED),
	WITH_NUMBER(BPF_MUL, R0, 0xc2b2ae35),
	MOVE(SHIFTED, R0),
	WITH_NUMBER(BPF_RSH, SHIFTED, 16),
	WITH(BPF_XOR, R0, SHIFTED),
	WITH_NUMBER(BPF_AND, R0, 0xffff),
	{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
};

enum qe_error qe_steering_load(int *ret_program)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes)); /* the kernel looks at the padding */
	attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attributes.insns = (uintptr_t)packet_program;
	attributes.insn_cnt = sizeof(packet_program) / sizeof(packet_program[0]);
	attributes.license = (uintptr_t)"MIT";
	long program = syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));

	if (program < 0)
		return qe_error_errno();
	*ret_program = (int)program;
	return QE_OK;
}

enum qe_error qe_steer_packets(int tun)
{
	enum qe_error error = QE_OK;
	int program;

	QE_TRY(qe_steering_load(&program));
	if (ioctl(tun, TUNSETSTEERINGEBPF, &program) < 0)
		error = qe_error_errno();
	close(program); /* the interface keeps it */
	return error;
}
