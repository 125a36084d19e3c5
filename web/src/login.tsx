import { useState } from 'preact/hooks';
import { api, ApiError } from './api';
import { begin } from './app';
import { Wrong } from './parts';

export function Login() {
  const [wrong, setWrong] = useState<string | null>(null), [busy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    setBusy(true);
    setWrong(null);
    try {
      begin(await api('POST /v1/session', { body: { name: String(form.get('name')).trim(), password: String(form.get('password')) } }));
    } catch (error) {
      setWrong(error instanceof ApiError ? error.message : String(error));
    }
    setBusy(false);
  };
  return (
    <main class="login">
      <h1>signalbox</h1>
      <form onSubmit={(event) => void submit(event)}>
        <label>Name<input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus /></label>
        <label>Password<input name="password" type="password" autocomplete="current-password" required /></label>
        <button type="submit" class="main" disabled={busy}>{busy ? 'Logging in…' : 'Log in'}</button>
        {wrong !== null && <Wrong>{wrong}</Wrong>}
      </form>
      <p class="hint">On the server itself no password is needed: <code>signalbox status --watch</code>, and <code>signalbox user passwd NAME</code> for a new one.</p>
    </main>
  );
}
