/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The kernel hands over what it would hand to a network card that can segment and checksum: behind
 * a virtio-net header (include/uapi/linux/virtio_net.h), TCP streams in pieces of up to 64 KiB with
 * the checksum left open. This one system call instead of 46 is most of what makes a tunnel fast.
 *
 * An old kernel, or what poses as one, may refuse any of it. What it was not asked for it does not
 * hand over; what it would not understand is made plain before it is written.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/checksum.h"
#include "net/segment.h"
#include "os/cable.h"
#include "os/steering.h"
#include "os/tun.h"

/* Since Linux 6.2; older headers lack them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

constexpr size_t packet_max = 40 + 65535;

struct qe_tun {
	int fd;
	struct qe_tun_counters counters;
	uint8_t *scratch;        /* for what the kernel cannot do; only there */
	struct qe_cable_end end; /* instead of an interface; cable is NULL if it is one */
};

/* TSO without ECN: the kernel then splits the rare segment with CWR itself, and the segmenter need
 * not treat it apart. */
static bool offer(const struct qe_tun *tun, unsigned long offloads)
{
	return !tun->counters.header_off && ioctl(tun->fd, TUNSETOFFLOAD, offloads) == 0;
}

/* The most that the kernel agrees to. */
static void offer_offloads(struct qe_tun *tun)
{
	constexpr unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	struct qe_tun_counters *counters = &tun->counters;

	counters->uso_off = !offer(tun, tcp | TUN_F_USO4 | TUN_F_USO6);
	counters->tso_off = counters->uso_off && !offer(tun, tcp);
	counters->csum_off = counters->tso_off && !offer(tun, TUN_F_CSUM);
}

static int attach(struct qe_tun *tun, struct ifreq *request)
{
	int result = ioctl(tun->fd, TUNSETIFF, request);

	if (result == 0 || errno != EINVAL)
		return result;
	tun->counters.header_off = true;
	request->ifr_flags &= (short)~IFF_VNET_HDR;
	return ioctl(tun->fd, TUNSETIFF, request);
}

/* flags: IFF_TUN_EXCL for the first queue, as an interface that is there already, even a persistent
 * TUN, is not ours to use; IFF_MULTI_QUEUE for all of several. */
static enum qe_error create(struct qe_tun *tun, const char *name, unsigned flags)
{
	struct ifreq request = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags)};

	static_assert(sizeof(struct virtio_net_hdr) == 10, "TUNSETVNETHDRSZ says so by itself");
	if (strlen(name) >= sizeof(request.ifr_name))
		return QE_ERR_RANGE;
	strcpy(request.ifr_name, name);
	tun->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tun->fd < 0)
		return qe_error_errno();
	if (attach(tun, &request) < 0)
		return qe_error_errno();
	offer_offloads(tun);
	return QE_OK;
}

static enum qe_error new_queue(struct qe_tun **ret_tun, const char *name, unsigned flags)
{
	struct qe_tun *tun = calloc(1, sizeof(*tun));
	enum qe_error error;

	if (!tun)
		return -ENOMEM;
	tun->fd = -1;
	error = create(tun, name, flags);
	if (error == QE_OK && tun->counters.uso_off) {
		tun->scratch = malloc(packet_max);
		error = tun->scratch ? QE_OK : -ENOMEM;
	}
	if (error != QE_OK) {
		qe_tun_free(tun);
		return error;
	}
	*ret_tun = tun;
	return QE_OK;
}

enum qe_error qe_tun_new_queues(struct qe_tun *ret_tuns[], unsigned n, const char *name)
{
	unsigned flags = IFF_TUN_EXCL | (n > 1 ? IFF_MULTI_QUEUE : 0);
	struct qe_tun *tuns[QE_WORKERS_MAX];
	enum qe_error error = n > 0 && n <= QE_WORKERS_MAX ? QE_OK : QE_ERR_RANGE;
	unsigned made = 0;

	while (made < n && error == QE_OK) {
		error = new_queue(&tuns[made], name, flags);
		made += error == QE_OK;
		flags &= ~(unsigned)IFF_TUN_EXCL;
	}
	if (error != QE_OK) {
		while (made > 0)
			qe_tun_free(tuns[--made]);
		return error;
	}
	tuns[0]->counters.steering_off = n > 1 && qe_steer_packets(tuns[0]->fd) != QE_OK;
	memcpy(ret_tuns, tuns, n * sizeof(tuns[0]));
	return QE_OK;
}

enum qe_error qe_tun_new(struct qe_tun **ret_tun, const char *name)
{
	return qe_tun_new_queues(ret_tun, 1, name);
}

enum qe_error qe_tun_new_cable(struct qe_tun *ret_ends[2])
{
	struct qe_tun *tuns[2] = {calloc(1, sizeof(*tuns[0])), calloc(1, sizeof(*tuns[1]))};
	struct qe_cable_end ends[2];
	enum qe_error error = tuns[0] && tuns[1] ? qe_cable_new(ends) : -ENOMEM;

	if (error != QE_OK) {
		free(tuns[0]);
		free(tuns[1]);
		return error;
	}
	for (unsigned i = 0; i < 2; i++) {
		*tuns[i] = (struct qe_tun){.fd = qe_cable_fd(&ends[i]), .end = ends[i]};
		ret_ends[i] = tuns[i];
	}
	return QE_OK;
}

struct qe_tun *qe_tun_free(struct qe_tun *tun)
{
	if (!tun)
		return nullptr;
	if (tun->end.cable)
		qe_cable_free(&tun->end);
	else if (tun->fd >= 0)
		close(tun->fd);
	free(tun->scratch);
	free(tun);
	return nullptr;
}

int qe_tun_fd(const struct qe_tun *tun)
{
	return tun->fd;
}

bool qe_tun_segments_udp(const struct qe_tun *tun)
{
	return !tun->counters.uso_off;
}

const struct qe_tun_counters *qe_tun_get_counters(const struct qe_tun *tun)
{
	return &tun->counters;
}

void qe_tun_counters_add(struct qe_tun_counters *sum, const struct qe_tun_counters *counters)
{
	sum->reads += counters->reads;
	sum->read_errors += counters->read_errors;
	sum->writes += counters->writes;
	sum->packets_lost += counters->packets_lost;
	sum->header_off |= counters->header_off;
	sum->csum_off |= counters->csum_off;
	sum->tso_off |= counters->tso_off;
	sum->uso_off |= counters->uso_off;
	sum->steering_off |= counters->steering_off;
	sum->writes_split += counters->writes_split;
}

/* The two spellings of "which kind of super-packet". */
static const struct {
	uint8_t gso, virtio;
} kinds[] = {
	{QE_GSO_NONE, VIRTIO_NET_HDR_GSO_NONE},
	{QE_GSO_TCP4, VIRTIO_NET_HDR_GSO_TCPV4},
	{QE_GSO_TCP6, VIRTIO_NET_HDR_GSO_TCPV6},
	{QE_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4},
};

static bool from_virtio(struct qe_offload *ret_offload, const struct virtio_net_hdr *header)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].virtio != header->gso_type)
			continue;
		*ret_offload = (struct qe_offload){
			.gso = kinds[i].gso,
			.needs_csum = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.csum_valid = header->flags & VIRTIO_NET_HDR_F_DATA_VALID,
			.gso_size = header->gso_size,
			.hdr_len = header->hdr_len,
			.csum_start = header->csum_start,
			.csum_offset = header->csum_offset,
		};
		return true;
	}
	return false;
}

static struct virtio_net_hdr to_virtio(const struct qe_offload *offload)
{
	struct virtio_net_hdr header = {
		.gso_type = kinds[offload->gso].virtio,
		.gso_size = offload->gso_size,
		.hdr_len = offload->hdr_len,
	};

	static_assert(QE_GSO_NONE == 0 && QE_GSO_UDP + 1 == sizeof(kinds) / sizeof(kinds[0]));
	if (offload->needs_csum) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = offload->csum_start;
		header.csum_offset = offload->csum_offset;
	} else if (offload->csum_valid) {
		header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	return header;
}

enum qe_error qe_tun_read(struct qe_tun *tun, uint8_t *to, size_t capacity,
	struct qe_offload *ret_offload, size_t *ret_len)
{
	struct virtio_net_hdr header = {};
	size_t header_len = tun->counters.header_off ? 0 : sizeof(header);
	struct iovec parts[] = {{&header, header_len}, {to, capacity}};
	ssize_t n;

	if (tun->end.cable)
		return qe_cable_read(&tun->end, to, capacity, ret_offload, ret_len);
	do
		n = readv(tun->fd, parts, 2);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return qe_error_errno();
	tun->counters.reads++;
	if ((size_t)n < header_len || !from_virtio(ret_offload, &header)) {
		tun->counters.read_errors++;
		return QE_ERR_UNSUPPORTED;
	}
	*ret_len = (size_t)n - header_len;
	return QE_OK;
}

static void count_lost(struct qe_tun *tun, const struct qe_offload *offload, size_t len)
{
	tun->counters.packets_lost += qe_segments(offload, offload->hdr_len, (uint32_t)len);
}

static enum qe_error write_one(
	struct qe_tun *tun, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	struct virtio_net_hdr header = to_virtio(offload);
	size_t header_len = tun->counters.header_off ? 0 : sizeof(header);
	struct iovec parts[] = {{&header, header_len}, {(void *)data, len}};
	ssize_t n;

	do
		n = writev(tun->fd, parts, 2);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		count_lost(tun, offload, len);
		return qe_error_errno();
	}
	tun->counters.writes++;
	return QE_OK;
}

/* A packet in scratch, which the segmenter has just given. */
static enum qe_error write_segment(
	struct qe_tun *tun, const struct qe_segmenter *segmenter, struct qe_bytes segment)
{
	struct qe_offload offload = {};

	if (segmenter->partial && tun->counters.csum_off) {
		qe_checksum_transport_complete((uint8_t *)segment.data, &segmenter->packet);
	} else if (segmenter->partial) {
		offload.needs_csum = true;
		offload.csum_start = segmenter->packet.transport;
		offload.csum_offset = segmenter->packet.protocol == QE_IP_TCP ? 16 : 6;
	}
	return write_one(tun, &offload, segment.data, segment.len);
}

static enum qe_error write_split(
	struct qe_tun *tun, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	struct qe_segmenter segmenter;
	struct qe_packet packet;
	struct qe_bytes segment;
	enum qe_error error;

	assert(len <= packet_max);
	tun->counters.writes_split++;
	memcpy(tun->scratch, data, len);
	error = qe_packet_parse(&packet, (struct qe_bytes){tun->scratch, len});
	if (error == QE_OK)
		error = qe_segmenter_init(&segmenter, tun->scratch, &packet, offload, packet_max);
	if (error != QE_OK) {
		count_lost(tun, offload, len);
		return error;
	}
	while (qe_segmenter_next(&segmenter, &segment)) {
		enum qe_error one = write_segment(tun, &segmenter, segment);

		error = error == QE_OK ? one : error;
	}
	return error;
}

/* Whether the kernel understands what is said of a packet. */
static bool is_taken(const struct qe_tun *tun, const struct qe_offload *offload)
{
	if (offload->gso == QE_GSO_UDP)
		return !tun->counters.uso_off;
	if (offload->gso != QE_GSO_NONE)
		return !tun->counters.tso_off;
	return !offload->needs_csum || !tun->counters.csum_off;
}

enum qe_error qe_tun_write(
	struct qe_tun *tun, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	if (tun->end.cable) {
		enum qe_error error = qe_cable_write(&tun->end, offload, data, len);

		if (error != QE_OK)
			count_lost(tun, offload, len);
		return error;
	}
	if (is_taken(tun, offload))
		return write_one(tun, offload, data, len);
	return write_split(tun, offload, data, len);
}
