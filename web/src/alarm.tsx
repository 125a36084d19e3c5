// alarm.tsx: who looks after an alarm: said by a person, seen on every tab.
import { useEffect, useRef, useState } from 'preact/hooks';
import { api, newKey } from './api';
import type { Alarm } from './api_types';
import { may, stale } from './app';
import { goQuery, place } from './browser';
import { Field, Twin, useAct, Wrong } from './parts';
import { clock, reasoned, shellWord } from './site';

/** The place /?alarm=KEY, which chats are given, has it open. */
export function Acknowledge({ alarm, live }: { alarm: Alarm; live: boolean }) {
  const [reason, setReason] = useState(''), { busy, wrong, act } = useAct(), form = useRef<HTMLDivElement>(null), wanted = live && place.value.query.get('alarm') === alarm.key;
  useEffect(() => { if (wanted) form.current?.querySelector('input')?.focus(); }, [wanted]);
  const take = (): void => act(async () => {
    await api('POST /v1/alarms/{kind}/{object}/acks', { path: { kind: alarm.kind, object: alarm.key.slice(alarm.kind.length + 1) }, key: newKey(), body: { reason: reason.trim() === '' ? null : reason.trim() } });
    goQuery({ alarm: '' });
  });
  return (
    <>
      {alarm.ack !== undefined && <span class="ack">✓ {alarm.ack.actor} looks after it since {clock(alarm.ack.at_us / 1000)}{alarm.ack.reason ? `: ${alarm.ack.reason}` : ''}</span>}
      {live && !wanted && may('operator') && <button type="button" class="quiet" aria-label={`${alarm.ack === undefined ? 'Acknowledge' : 'Take over'} ${alarm.title}…`} onClick={() => goQuery({ alarm: alarm.key })}>{alarm.ack === undefined ? 'Acknowledge…' : 'Take over…'}</button>}
      {wanted && may('operator') && (
        <div class="acknowledge" ref={form}>
          <Field label="What is being done (optional)" value={reason} maxLength={200} onValue={setReason} />
          <p class="buttons">
            <button type="button" class="main" disabled={busy || stale.value} onClick={take}>I look after it</button>
            <button type="button" onClick={() => goQuery({ alarm: '' })}>Not now</button>
          </p>
          {wrong !== null && <Wrong>{wrong}</Wrong>}
          <Twin command={reasoned(`signalbox alarm ack ${shellWord(alarm.key)}`, reason)} />
        </div>
      )}
    </>
  );
}
