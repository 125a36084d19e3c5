#include "tests/unit/wirecheck.h"

#include <stddef.h>

enum { ETHER = 14, ICMP4 = 1, TCP = 6, UDP = 17, ICMP6 = 58 };

static uint32_t pair(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* RFC 1071 as it is written down: pairs, an odd byte at the end counts as followed by 0, carries come round. */
static uint32_t sum_of(uint32_t sum, const uint8_t *at, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        sum += i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i];
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static bool good(uint8_t proto, const uint8_t *addresses, uint32_t n_addresses, const uint8_t *l4, uint32_t size)
{
    if (proto == UDP && n_addresses == 8 && pair(l4 + 6) == 0)
        return true;
    if (proto == UDP && pair(l4 + 6) == 0)
        return false;
    uint32_t sum = proto == ICMP4 ? 0 : sum_of(size + proto, addresses, n_addresses);
    return sum_of(sum, l4, size) == 0xffff;
}

static const char *fault_of_l4(uint8_t proto, const uint8_t *l4, uint32_t size)
{
    if (proto == TCP && size < 20)
        return "TCP header cut off";
    if (proto == TCP && ((l4[12] >> 4) < 5 || (uint32_t)(l4[12] >> 4) * 4 > size))
        return "TCP data offset";
    if (proto == UDP && (size < 8 || pair(l4 + 4) != size))
        return "UDP length";
    return (proto == ICMP4 || proto == ICMP6) && size < 8 ? "ICMP header cut off" : NULL;
}

static struct wirecheck check4(const uint8_t *ip, uint32_t left)
{
    struct wirecheck w = {.family = 4};
    if (left < 20 || ip[0] != 0x45)
        w.fault = "IPv4 header";
    else if (pair(ip + 2) < 20 || pair(ip + 2) > left)
        w.fault = "IPv4 total length";
    else if (sum_of(0, ip, 20) != 0xffff)
        w.fault = "IPv4 header checksum";
    else if (ip[8] == 0)
        w.fault = "IPv4 time to live";
    if (w.fault != NULL)
        return w;
    w.proto = ip[9];
    uint32_t size = pair(ip + 2) - 20;
    w.fault = fault_of_l4(w.proto, ip + 20, size);
    w.sum_good = w.fault == NULL && good(w.proto, ip + 12, 8, ip + 20, size);
    return w;
}

static struct wirecheck check6(const uint8_t *ip, uint32_t left)
{
    struct wirecheck w = {.family = 6};
    if (left < 40 || ip[0] >> 4 != 6)
        w.fault = "IPv6 header";
    else if (pair(ip + 4) > left - 40)
        w.fault = "IPv6 payload length";
    else if (ip[7] == 0)
        w.fault = "IPv6 hop limit";
    if (w.fault != NULL)
        return w;
    w.proto = ip[6];
    w.fault = fault_of_l4(w.proto, ip + 40, pair(ip + 4));
    w.sum_good = w.fault == NULL && good(w.proto, ip + 8, 32, ip + 40, pair(ip + 4));
    return w;
}

struct wirecheck wirecheck(const uint8_t *frame, uint32_t size)
{
    if (size < ETHER)
        return (struct wirecheck){.fault = "Ethernet header cut off"};
    uint32_t type = pair(frame + 12);
    if (type == 0x0800)
        return check4(frame + ETHER, size - ETHER);
    return type == 0x86dd ? check6(frame + ETHER, size - ETHER) : (struct wirecheck){.sum_good = true};
}

const char *wirecheck_sent(const uint8_t *frame, uint32_t size)
{
    struct wirecheck w = wirecheck(frame, size);
    return w.fault != NULL ? w.fault : w.sum_good ? NULL : "checksum";
}
