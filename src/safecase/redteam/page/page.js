"use strict";
const $ = (id) => document.getElementById(id);
const state = { key: "", scope: null, conversation: null, category: "", vector: "", index: null, busy: false };

// Words reach the page as text and never as markup.
function node(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function notice(text, bad) {
  const box = $("notice");
  box.textContent = text;
  box.className = bad ? "notice bad" : "notice";
  box.hidden = !text;
}

async function call(method, path, body) {
  const options = { method, headers: { Authorization: "Bearer " + state.key }, cache: "no-store", credentials: "omit" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server cannot be reached. Check your connection and try again.");
  }
  let value = {};
  try {
    value = await response.json();
  } catch {
    throw new Error("The server sent something else than an answer (" + response.status + ").");
  }
  if (!response.ok) {
    const said = value.error ? value.error.message : "The request failed (" + response.status + ").";
    throw new Error(said.charAt(0).toUpperCase() + said.slice(1) + ".");
  }
  return value;
}

function fill(select, rows) {
  select.replaceChildren(...rows.map(([value, text]) => {
    const option = node("option", text);
    option.value = value;
    return option;
  }));
}

function words(id) {
  const text = id.replaceAll("-", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function showLeft(left) {
  const rows = Object.entries(left).flatMap(([name, count]) => [
    node("dt", words(name)), node("dd", count.toLocaleString("en")),
  ]);
  $("left").replaceChildren(...rows);
}

function showDesk(me) {
  $("rules").hidden = true;
  $("desk").hidden = false;
  showLeft(me.left);
  $("category").focus();
}

async function enter() {
  const me = await call("GET", "v1/me");
  const scope = await call("GET", "v1/scope");
  state.scope = scope;
  const categories = scope.categories.map((one) => [one.id, words(one.id)]);
  const vectors = scope.vectors.map((one) => [one.id, one.title]);
  fill($("category"), categories);
  fill($("finding-category"), categories);
  fill($("vector"), vectors);
  fill($("finding-vector"), vectors);
  fill($("language"), scope.languages.map((one) => [one, one]));
  $("language-row").hidden = scope.languages.length < 2;
  $("text").maxLength = scope.limits.characters_per_message;
  $("rules-text").textContent = scope.rules.trim();
  $("rules-again").textContent = scope.rules.trim();
  $("consent-text").textContent = scope.consent.trim();
  $("scope-list").replaceChildren(...categories.map(([, text]) => node("li", text)));
  $("who").textContent = "You are " + me.participant + ", team " + me.team;
  $("who").hidden = false;
  $("door").hidden = true;
  $("key").value = "";
  if (!me.is_open) {
    notice("The campaign is open from " + scope.opens.slice(0, 16).replace("T", " ") + " to "
      + scope.closes.slice(0, 16).replace("T", " ") + " (UTC).", true);
  }
  if (me.has_consented) {
    showDesk(me);
  } else {
    $("rules").hidden = false;
    $("agree").focus();
  }
}

function say(who, text, className) {
  const item = node("li", undefined, className);
  item.append(node("span", who, "name"), node("p", text, "text"));
  $("log").append(item);
  $("log").scrollTop = $("log").scrollHeight;
  return item;
}

function choose(index, item) {
  for (const other of document.querySelectorAll("#log .chosen")) other.classList.remove("chosen");
  item.classList.add("chosen");
  state.index = index;
  $("finding-fields").disabled = false;
  $("finding-category").value = state.category;
  $("finding-vector").value = state.vector;
  $("finding-about").textContent = "About answer " + (index + 1) + " of this conversation.";
}

function setBusy(busy) {
  state.busy = busy;
  $("send").disabled = busy || !state.conversation;
  $("log").setAttribute("aria-busy", String(busy));
}

// Every form runs one task at a time, and whatever fails is said at the top of the page.
function onSubmit(id, task) {
  $(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    if (state.busy) return;
    setBusy(true);
    notice("");
    try {
      await task();
    } catch (fault) {
      notice(fault.message, true);
    } finally {
      setBusy(false);
    }
  });
}

onSubmit("door-form", async () => {
  state.key = $("key").value.trim();
  await enter();
});

onSubmit("rules-form", async () => showDesk(await call("GET", "v1/me")));

onSubmit("new-form", async () => {
  const [category, vector] = [$("category").value, $("vector").value];
  const made = await call("POST", "v1/conversations", {
    category, vector, language: $("language").value, consent: state.scope.consent_digest,
  });
  Object.assign(state, { conversation: made.conversation, category, vector, index: null });
  $("log").replaceChildren();
  $("finding-fields").disabled = true;
  $("talk-title").textContent = words(category);
  $("talk-about").textContent = $("vector").selectedOptions[0].textContent;
  $("text").disabled = false;
  $("text").focus();
  showLeft((await call("GET", "v1/me")).left);
});

onSubmit("say-form", async () => {
  const text = $("text").value;
  if (!text.trim() || !state.conversation) return;
  const mine = say("You", text, "mine");
  $("text").value = "";
  const waiting = say("Assistant", "…");
  try {
    const got = await call("POST", "v1/conversations/" + encodeURIComponent(state.conversation) + "/messages", { text });
    waiting.querySelector(".text").textContent = got.reply;
    const report = node("button", "Report this answer", "plain");
    report.type = "button";
    report.addEventListener("click", () => {
      choose(got.index, waiting);
      $("finding-title").scrollIntoView({ block: "nearest" });
      $("comment").focus();
    });
    waiting.append(report);
    choose(got.index, waiting);
    showLeft(got.left);
  } catch (fault) {
    waiting.remove();
    mine.classList.add("bad");
    $("text").value = text;
    throw fault;
  } finally {
    $("log").scrollTop = $("log").scrollHeight;
    $("text").focus();
  }
});

onSubmit("finding-form", async () => {
  const severity = Number(document.querySelector("input[name=severity]:checked").value);
  const made = await call("POST", "v1/conversations/" + encodeURIComponent(state.conversation) + "/finding", {
    category: $("finding-category").value, vector: $("finding-vector").value, severity,
    comment: $("comment").value, index: state.index,
  });
  $("comment").value = "";
  showLeft((await call("GET", "v1/me")).left);
  notice("Finding " + made.finding + " is on record, with the whole conversation. Thank you.");
});

$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("say-form").requestSubmit();
  }
});
