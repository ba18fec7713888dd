// An agent's day, with and without scripts: find a ticket, read it, answer it, take it, write a note, close it, find it
// again.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { audit, fitsItsWidth, screenshot } from './browser.mjs';
import { connectDemoMailbox, openDemo } from './demo.mjs';
import { eventually, freePort } from './mailgrant.mjs';

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? 'with scripts' : 'without scripts';
  describe(how, () => {
    let it;
    let page;
    const state = () => page.locator('.mg-head .mg-badge').first();

    before(async () => {
      it = await openDemo({ javaScriptEnabled });
      page = it.page;
      await connectDemoMailbox(page);
      await eventually('tickets are there', async () => {
        await it.goto('/tickets');
        return await page.locator('tbody tr').count() >= 6;
      });
    });

    after(async () => {
      await it?.close();
    });

    test('the mailbox gets a server that would send for it, and cannot be reached', async () => {
      await it.goto('/mailboxes');
      await page.locator('tbody a').first().click();
      await page.getByRole('link', { name: 'Edit', exact: true }).first().click();
      await page.getByLabel('SMTP host').fill('127.0.0.1');
      await page.getByLabel('SMTP port').fill(String(await freePort()));
      await page.getByLabel('Encryption when sending').selectOption('implicit');
      await page.getByRole('button', { name: /^Save/ }).first().click();
      await page.getByText('127.0.0.1').first().waitFor();
    });

    test('a ticket is found by a word of a message, which is marked', async () => {
      await it.goto('/search');
      await page.getByRole('searchbox', { name: 'Search for' }).fill('other comp from:');
      await page.getByRole('button', { name: 'Search', exact: true }).click();
      await page.locator('mark').getByText('computer').first().waitFor();
      if (javaScriptEnabled) await audit(page, 'what was found');
      await screenshot(page, `agent-search-${javaScriptEnabled}`);
      await page.locator('.mg-hits a').first().click();
      await page.getByRole('heading', { name: 'Conversation' }).waitFor();
      assert.match(page.url(), /#ent_/);
    });

    test('quotes and signatures are folded, and unfold without a script', async () => {
      await page.getByText('it also happens on my other computer').first().waitFor();
      const quoted = page.locator('.mg-quoted').first();
      assert.equal(await quoted.isVisible(), false);
      await page.getByText('Show what was quoted').first().click();
      await quoted.waitFor();
    });

    test('an answer is put on its way once, what became of it stands below it, and it is taken back', async () => {
      const url = page.url().replace(/#.*/, '');
      await page.goto(url);
      const answer = page.locator('.mg-entry-reply');
      // The browser itself keeps an empty answer from going out.
      await page.getByRole('button', { name: 'Send the answer' }).click();
      assert.equal(await answer.count(), 0);
      await page.getByRole('textbox', { name: 'Text', exact: true }).fill('Have you tried water?');
      if (javaScriptEnabled) await audit(page, 'an answer that is being written');
      await page.getByRole('button', { name: 'Send the answer' }).click();
      await page.getByText('The answer is on its way.').waitFor();
      await answer.getByText('Have you tried water?').waitFor();
      // With scripts the state changes by itself; without them, when the page is loaded again.
      await eventually('the page says what keeps it, and what to do', async () => {
        if (!javaScriptEnabled) await page.goto(url);
        return await answer.locator('.mg-sending').getByText('What to do:').count() === 1;
      });
      await answer.getByText('Waits for another attempt').waitFor();
      await page.goto(url);
      assert.equal(await answer.count(), 1, 'nothing is sent again when the page is loaded again');
      await screenshot(page, `agent-answer-${javaScriptEnabled}`);
      if (javaScriptEnabled) await audit(page, 'an answer that waits');
      await answer.getByRole('link', { name: 'Attempts' }).click();
      await page.waitForURL(/\/outgoing\/out_/);
      if (javaScriptEnabled) await audit(page, 'the attempts of an answer');
      await page.goto(url);
      await answer.getByRole('button', { name: 'Take back' }).click();
      await answer.getByText('Taken back').waitFor();
    });

    test('the ticket is taken, labelled, noted and closed, and its history says so', async () => {
      await page.getByRole('button', { name: 'Assign to me' }).click();
      await page.getByRole('status').getByText('Saved.').waitFor();
      await page.getByLabel('Labels', { exact: true }).fill('VIP, invoice');
      await page.getByRole('combobox', { name: 'Priority' }).selectOption('urgent');
      await page.getByRole('button', { name: 'Save', exact: true }).click();
      await page.getByText('Labels: none → invoice, vip').waitFor();
      await page.getByRole('textbox', { name: 'Note' }).fill('Called back; she is content.');
      await page.getByRole('button', { name: 'Add the note' }).click();
      await page.getByText('Called back; she is content.').waitFor();
      await page.getByText('Internal note').waitFor();
      await page.getByRole('button', { name: 'Close', exact: true }).click();
      await page.getByText('State: open → closed').waitFor();
      assert.equal((await state().innerText()).trim(), 'Closed');
      if (javaScriptEnabled) {
        await audit(page, 'a ticket that was worked on');
        await page.setViewportSize({ width: 320, height: 640 });
        await fitsItsWidth(page);
        await audit(page, 'a ticket that was worked on, narrow');
        await page.setViewportSize({ width: 1280, height: 800 });
      }
      await screenshot(page, `agent-ticket-${javaScriptEnabled}`);
      await page.getByRole('button', { name: 'Show the newest first' }).click();
      await page.getByRole('button', { name: 'Show the oldest first' }).waitFor();
      assert.match(await page.locator('article.mg-entry').first().innerText(), /Called back/);
    });

    test('lists find it by label and state, and several tickets are closed at once', async () => {
      await it.goto('/tickets?label=vip&state=closed');
      assert.equal(await page.locator('tbody tr').count(), 1);
      await it.goto('/tickets?state=open');
      const boxes = page.locator('input[name=ticket]');
      await boxes.nth(0).check();
      await boxes.nth(1).check();
      await page.getByRole('combobox', { name: 'Ticked tickets become' }).selectOption('closed');
      await page.getByRole('button', { name: 'Apply' }).click();
      await page.getByText('2 tickets are closed now.').waitFor();
      await it.goto('/search?q=is:closed+content');
      await page.locator('mark').getByText('content').first().waitFor();
    });

    test('a ticket is opened by hand after a call', async () => {
      await it.goto('/tickets');
      await page.getByRole('link', { name: 'New ticket' }).click();
      await page.getByRole('textbox', { name: 'Subject' }).fill('Somebody called about the door');
      await page.getByRole('textbox', { name: /First note/ }).fill('It does not open.');
      await page.getByRole('button', { name: 'Open the ticket' }).click();
      await page.getByRole('heading', { name: 'Somebody called about the door', level: 1 }).waitFor();
      await page.getByText('It does not open.').waitFor();
    });

    test('nothing of all this was blocked or asked another host', () => {
      assert.deepEqual(it.browser.problems, []);
    });
  });
}
