/* protocol.h: what agents and control servers say to each other (HTTP, JSON; the agent always asks).
 *
 *   GET  /agent/v1/edges/{name}/table?epoch=E&generation=G&wait=25
 *        200 manifest (schema/table.h) when the server has another stamp than E, G; 204 after `wait` seconds.
 *   GET  /agent/v1/parts/{hash}        200 the part's bytes; 404 when the server does not have it any more.
 *   POST /agent/v1/edges/{name}/report 200. Body:
 *   {"edge": "edge-1", "cluster": "two-rooms", "promised": 65537, "applied": {"epoch": 65537, "generation": 12},
 *    "state": "applied|applying|refused|failing|held", "error": "..."|null, "window_us": 1000000,
 *    "haproxy": {"pid": 1, "uptime_s": 2},
 *    "counters": [{"policy","room","via","requests","failed","rate","fail_rate"}],
 *    "sizes":    [{"policy","request_bytes","answer_bytes"}],   of one request, on average; of those that had any
 *    "origins":  [{"room","via","up","status","latency_us"}],
 *    "holds":    [{"room","home","for_us"}],  held away by the edge itself; home: slots of 1,000 at home
 *    "probes":   [{"policy","room"}],
 *    "pins":     {"used","passed_over"},      requests with a pin (schema/pin.h), of clients that sent one within a day
 *    "break_glass": [{"verb","room","by","reason","since_us","until_us"}],   agent/breakglass.h; wall clock
 *    "gateway":  {"forwarder","table","vips","backends","shown"},   of gateways alone (gateway/gateway.h)
 *    "events":   [{"at_us","text"}]}         wall clock; what happened since the last report that was answered
 *        The answer is {"epoch": 65537, "generation": 12}: the newest stamp that the server has published. The agent
 *        promises its epoch at once and polls where the newest table is, so an agent with several servers in its list
 *        is never held by one that is behind. 204 says nothing, and is borne.
 * The bearer token's name must be the edge's; 403 otherwise. A report is sent once a second, and at once when the
 * applied stamp, the promise or the state changes, or an entrance goes down or comes back. A new reign claims its
 * edges by publishing its first generation under its epoch: their next reports carry it as `promised`.
 *
 * Thread safety: definitions only.
 */
#ifndef AGENT_PROTOCOL_H
#define AGENT_PROTOCOL_H

#define AGENT_POLL_WAIT_S 25
#define AGENT_REPORT_EVERY_US 1000000

#endif
