// The dialog that every order of this page passes: what will happen, a reason where one is kept, and yes or no.
import { $, text } from './dom.js';

let asked = null; // what the open dialog is about

// ask opens the dialog. An order has a path, a title, a text, the words on its button (yes), and may have danger
// (a red button), reason (it is asked for one) and done (called once the server has taken it).
export function ask(order) {
  asked = order;
  text($('ask-title'), order.title);
  text($('ask-text'), order.text);
  $('ask-reason').parentElement.hidden = !order.reason;
  $('ask-reason').value = '';
  text($('ask-yes'), order.yes);
  $('ask-yes').className = order.danger ? 'danger' : '';
  $('ask-fault').hidden = true;
  $('ask-order').showModal();
}

async function send() {
  const order = asked;
  const answer = await fetch(order.path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: order.reason ? JSON.stringify({ reason: $('ask-reason').value.trim() }) : '',
  }).catch(() => null);
  if (order !== asked) return;
  if (answer?.ok) {
    $('ask-order').close();
    order.done?.();
    return;
  }
  if (answer?.status === 401) {
    location.assign('/login');
    return;
  }
  const fault = answer ? await answer.text() : 'The server does not answer. Use the machine’s own switch.';
  text($('ask-fault'), fault);
  $('ask-fault').hidden = false;
}

$('ask-form').addEventListener('submit', (e) => {
  e.preventDefault();
  send();
});
$('ask-no').addEventListener('click', () => $('ask-order').close());
