import { render } from 'preact';
render(<p>signalbox</p>, document.getElementById('app')!);
