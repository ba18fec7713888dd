// People: an administrator invites one of each role; nobody is offered what they may not do; a second factor by a real
// authenticator (Debian's oathtool) whose key is read from the picture (zbarimg).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { audit, fitsItsWidth, nothingIsCut, openBrowser, screenshot } from './browser.mjs';
import { startMailgrant } from './mailgrant.mjs';

const ADMIN = { email: 'ada@example.org', name: 'Ada Admin', password: 'a few plain words' };
const PASSWORD = 'another sentence of mine';
const ROLES = { project_admin: 'Project admin', agent: 'Agent', viewer: 'Viewer', none: '' };

let service;
let admin;
let page;
const people = {};

const at = (path) => new URL(path, service.baseUrl).href;
const pathOf = (any) => new URL(any.url()).pathname;

/** Both widths, both colour schemes. */
async function inspect(any, name) {
  for (const [width, height] of [[1280, 800], [320, 640]]) {
    await any.setViewportSize({ width, height });
    for (const colorScheme of ['light', 'dark']) {
      await any.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await audit(any, `${name} (${width} px, ${colorScheme})`);
      await fitsItsWidth(any, name);
      await nothingIsCut(any, name);
      await screenshot(any, `people-${name}-${width}-${colorScheme}`);
    }
  }
  await any.setViewportSize({ width: 1280, height: 800 });
  await any.emulateMedia({ colorScheme: 'light' });
}

async function signIn(any, email, password) {
  await any.goto(at('/sign-in'));
  await any.getByLabel('E-mail address').fill(email);
  await any.getByLabel('Password').fill(password);
  await any.getByRole('button', { name: 'Sign in' }).click();
}

/** What an authenticator with this key shows, so many seconds from now. */
function code(key, seconds = 0) {
  const now = Math.floor(Date.now() / 1000) + seconds;
  return execFileSync('oathtool', ['--totp', '--base32', key, '--now', `@${now}`], { encoding: 'utf8' }).trim();
}

before(async () => {
  service = await startMailgrant({ command: ['serve'] });
  admin = await openBrowser();
  page = admin.page;
  page.setDefaultTimeout(20_000);
  await page.goto(service.link);
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Your name').fill(ADMIN.name);
  await page.getByLabel('Password').fill(ADMIN.password);
  await page.getByRole('button', { name: 'Create the account' }).click();
  await page.getByRole('heading', { name: 'Connect your first mailbox' }).waitFor();
  for (const [key, name] of [['HELP', 'Help desk'], ['OPS', 'Operations']]) {
    await page.goto(at('/projects/new'));
    await page.getByLabel('Key').fill(key);
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { name, level: 1 }).waitFor();
  }
  await page.goto(at('/tickets/new'));
  await page.getByRole('textbox', { name: 'Subject' }).fill('The door does not open');
  await page.getByRole('button', { name: 'Open the ticket' }).click();
  await page.getByRole('heading', { name: 'The door does not open', level: 1 }).waitFor();
});

after(async () => {
  for (const { browser } of Object.values(people)) await browser.close();
  await admin?.close();
  await service?.stop();
});

for (const [role, label] of Object.entries(ROLES)) {
  test(`an invitation makes an account that is signed in: ${role}`, async () => {
    const email = `${role.replace('_', '.')}@example.org`;
    await page.goto(at('/users/invite'));
    await page.getByLabel('E-mail address').fill(email);
    await page.getByLabel('Name optional').fill(`Person ${role}`);
    if (label) await page.getByRole('combobox', { name: /^HELP/ }).selectOption({ label });
    if (role === 'viewer') await inspect(page, 'invite');
    await page.getByRole('button', { name: 'Invite' }).click();
    const link = await page.getByRole('textbox', { name: 'Link' }).inputValue();
    if (role === 'viewer') await inspect(page, 'invitation-shown');
    const browser = await openBrowser();
    browser.page.setDefaultTimeout(20_000);
    people[role] = { browser, page: browser.page, email };
    await browser.page.goto(link);
    if (role === 'viewer') await inspect(browser.page, 'invitation');
    await browser.page.getByLabel('Password').fill('password-12345678');
    await browser.page.getByRole('button', { name: 'Save and sign in' }).click();
    await browser.page.locator('#password-error').waitFor();
    await browser.page.getByLabel('Password').fill(PASSWORD);
    await browser.page.getByRole('button', { name: 'Save and sign in' }).click();
    await browser.page.getByRole('button', { name: 'Sign out' }).first().waitFor();
    assert.equal(pathOf(browser.page), '/');
    const again = await browser.page.goto(link);
    assert.equal(again.status(), 410, 'once');
  });

  test(`every link of the navigation opens, and nothing forbidden is offered: ${role}`, async () => {
    const { page: theirs } = people[role];
    await theirs.goto(at('/'));
    const links = await theirs.locator('nav[aria-label=Main] a').evaluateAll((all) => all.map((one) => one.getAttribute('href')));
    for (const link of links) {
      const answer = await theirs.goto(at(link));
      assert.equal(answer.status(), 200, link);
    }
    const has = (link) => links.includes(link);
    assert.equal(has('/users'), false);
    assert.equal(has('/settings'), false);
    assert.equal(has('/integrations'), role === 'project_admin');
    assert.equal(has('/tickets'), role !== 'none');
    if (role === 'none') {
      await theirs.goto(at('/'));
      await theirs.getByText('You have no role yet').waitFor();
      await inspect(theirs, 'no-role');
      return;
    }
    await theirs.goto(at('/tickets'));
    const canWork = role !== 'viewer';
    assert.equal(await theirs.getByRole('link', { name: 'New ticket' }).count(), canWork ? 1 : 0);
    await theirs.getByRole('link', { name: /The door does not open/ }).first().click();
    assert.equal(await theirs.getByRole('textbox', { name: 'Note' }).count(), canWork ? 1 : 0);
    assert.equal(await theirs.getByRole('button', { name: 'Close', exact: true }).count(), canWork ? 1 : 0);
    await theirs.goto(at('/projects'));
    assert.equal(await theirs.getByRole('link', { name: 'Operations' }).count(), 0, 'no member there');
    await theirs.getByRole('link', { name: 'Help desk' }).click();
    const manages = role === 'project_admin';
    assert.equal(await theirs.getByRole('link', { name: 'Edit' }).count(), manages ? 1 : 0);
    await theirs.getByRole('link', { name: 'Members' }).click();
    assert.equal(await theirs.getByRole('button', { name: 'Add' }).count(), manages ? 1 : 0);
    await inspect(theirs, `members-${role}`);
  });
}

test('the last project admin does not go without a question', async () => {
  await page.goto(at('/projects'));
  await page.getByRole('link', { name: 'Help desk' }).click();
  await page.getByRole('link', { name: 'Members' }).click();
  await page.getByRole('combobox', { name: 'Role of Person project_admin' }).selectOption({ label: 'Agent' });
  await page.getByRole('button', { name: 'Save the role of Person project_admin' }).click();
  await page.getByRole('heading', { name: 'Help desk without a project admin?' }).waitFor();
  await inspect(page, 'last-project-admin');
  await page.getByRole('link', { name: 'Keep it' }).click();
  await page.getByRole('combobox', { name: 'Role of Person project_admin' }).waitFor();
  assert.equal(await page.getByRole('combobox', { name: 'Role of Person project_admin' }).inputValue(), 'project_admin');
});

test('a second factor: its key is read from the picture, and signing in asks for a code', async () => {
  const { page: theirs, email } = people.agent;
  await theirs.goto(at('/profile'));
  await theirs.getByRole('link', { name: 'Turn it on' }).click();
  await inspect(theirs, 'second-factor');
  const picture = await screenshot(theirs, 'people-qr');
  const read = execFileSync('zbarimg', ['--quiet', '--raw', picture], { encoding: 'utf8' }).trim();
  const uri = new URL(read);
  assert.equal(uri.protocol, 'otpauth:');
  const key = uri.searchParams.get('secret');
  assert.equal((await theirs.locator('.mg-key').innerText()).replaceAll(' ', ''), key);
  assert.match(decodeURIComponent(uri.pathname), new RegExp(`${email}$`));
  await theirs.locator('#code').fill('000000');
  await theirs.getByRole('button', { name: 'Turn it on' }).click();
  await theirs.locator('#code-error').waitFor();
  await theirs.locator('#code').fill(code(key));
  await theirs.getByRole('button', { name: 'Turn it on' }).click();
  await theirs.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
  const codes = await theirs.locator('.mg-codes code').allInnerTexts();
  assert.equal(codes.length, 10);
  await inspect(theirs, 'recovery-codes');
  await theirs.getByRole('link', { name: 'I have kept them' }).click();
  await theirs.getByText('10 recovery codes are left').waitFor();
  await inspect(theirs, 'profile-with-second-factor');
  await theirs.getByRole('button', { name: 'Sign out' }).first().click();
  await signIn(theirs, email, PASSWORD);
  await theirs.getByRole('heading', { name: 'One more step' }).waitFor();
  await inspect(theirs, 'code');
  await theirs.locator('#code').fill(code(key, 30));
  await theirs.getByRole('button', { name: 'Go on' }).click();
  await theirs.getByRole('button', { name: 'Sign out' }).first().waitFor();
  await theirs.getByRole('button', { name: 'Sign out' }).first().click();
  await signIn(theirs, email, PASSWORD);
  await theirs.locator('#code').fill(codes[3]);
  await theirs.getByRole('button', { name: 'Go on' }).click();
  await theirs.getByRole('button', { name: 'Sign out' }).first().waitFor();
});

test('a token of one’s own is shown once, works, and is revoked', async () => {
  const { page: theirs } = people.agent;
  await theirs.goto(at('/profile/tokens/new'));
  await theirs.getByLabel('Name').fill('scripts');
  await theirs.getByRole('button', { name: 'Make the token' }).click();
  await theirs.locator('#scope-error').waitFor();
  await theirs.getByLabel(/^tickets:read/).check();
  await inspect(theirs, 'token-form-wrong');
  await theirs.getByRole('button', { name: 'Make the token' }).click();
  const token = await theirs.getByRole('textbox', { name: 'Token' }).inputValue();
  assert.match(token, /^mg_pat_/);
  await inspect(theirs, 'token-shown');
  const ask = async () => (await fetch(at('/api/v1/tickets'), { headers: { authorization: `Bearer ${token}` } })).status;
  assert.equal(await ask(), 200);
  await theirs.getByRole('link', { name: 'I have kept it' }).click();
  await theirs.getByRole('button', { name: 'Revoke scripts' }).click();
  await theirs.getByText('The token opens nothing any more.').waitFor();
  assert.equal(await ask(), 401);
});

test('an admin finds a person, changes them, and ends what they have', async () => {
  await page.goto(at('/users'));
  await inspect(page, 'users');
  await page.getByLabel('Name or address').fill('agent');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByRole('link', { name: 'Person agent' }).click();
  await inspect(page, 'user');
  await page.getByLabel('Name', { exact: true }).fill('Grace Agent');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('heading', { name: 'Grace Agent', level: 1 }).waitFor();
  await page.getByRole('link', { name: 'Take the second factor away' }).click();
  await inspect(page, 'user-second-factor-remove');
  await page.getByRole('button', { name: 'Take it away' }).click();
  await page.getByText('The second factor is taken away').waitFor();
  const { page: theirs } = people.agent;
  await theirs.goto(at('/profile'));
  assert.equal(pathOf(theirs), '/sign-in', 'the session has ended');
  await page.getByRole('button', { name: 'Disable' }).click();
  await page.getByText('The account is disabled.').waitFor();
  await inspect(page, 'user-disabled');
  await page.getByRole('link', { name: 'Remove this person' }).click();
  await inspect(page, 'user-remove');
  await page.getByRole('button', { name: 'Remove for good' }).click();
  await page.getByText('Grace Agent is removed.').waitFor();
  await page.getByLabel('Name or address').fill('grace');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByText('Nobody found').waitFor();
});

test('a new password ends the other sessions', async () => {
  const { page: theirs, email } = people.viewer;
  const other = await openBrowser();
  try {
    await signIn(other.page, email, PASSWORD);
    await other.page.getByRole('button', { name: 'Sign out' }).first().waitFor();
    await theirs.goto(at('/profile'));
    assert.equal(await theirs.locator('[aria-labelledby=sessions-title] tbody tr').count(), 2);
    await theirs.getByLabel('Present password').fill('not this');
    await theirs.getByLabel('New password').fill('a third sentence of mine');
    await theirs.getByRole('button', { name: 'Change the password' }).click();
    await theirs.locator('#old_password-error').waitFor();
    await inspect(theirs, 'profile-wrong-password');
    await theirs.getByLabel('Present password').fill(PASSWORD);
    await theirs.getByLabel('New password').fill('a third sentence of mine');
    await theirs.getByRole('button', { name: 'Change the password' }).click();
    await theirs.getByText('Your password is changed.').waitFor();
    await other.page.goto(at('/profile'));
    assert.equal(pathOf(other.page), '/sign-in');
  } finally {
    await other.close();
  }
});

test('nothing of all this was blocked or asked another host', () => {
  const expected = /status of (401|403|410|422)/;
  for (const { problems } of [admin, ...Object.values(people).map(({ browser }) => browser)]) {
    assert.deepEqual(problems.filter((problem) => !expected.test(problem)), []);
  }
});
