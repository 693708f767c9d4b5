// Checks the definitions in the parent folder: two validators, the house rules, and a walk through their scenarios.
//
// Neither validator alone is strict: asl-validator knows JSONata but not the fields of a retrier, AWS's language
// service the other way round. Neither evaluates anything, so a small interpreter does, on jsonata 2.0.6, the version
// that Step Functions documents. As there, an expression without a result is an error.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import aslValidator from "asl-validator";
import languageService from "amazon-states-language-service";
import jsonata from "jsonata";
import { TextDocument } from "vscode-languageserver-textdocument";

const here = (name) => new URL(name, import.meta.url);
const name = process.argv[2] ?? "bridge";
const text = readFileSync(here(`../${name}.asl.json`), "utf8");
// What CloudFormation's DefinitionSubstitutions will do.
const substitutions = {
  MaxConcurrency: "8",
  RecordBucketName: "records",
  CollectSettleSeconds: "30",
  BridgeStateMachineArn: "arn:aws:states:us-east-1:111122223333:stateMachine:bridge",
};
const substituted = text.replace(
  /\$\{(\w+)\}/g,
  (_, key) => substitutions[key] ?? `arn:aws:lambda:us-east-1:111122223333:function:${key}`,
);
const parse = () => JSON.parse(substituted);
const machine = parse();

// Every state with its name, those inside of a Map too.
const allStates = ({ States }) =>
  Object.entries(States).flatMap(([name, state]) => [
    [name, state],
    ...(state.ItemProcessor ? allStates(state.ItemProcessor) : []),
  ]);

const problems = [];
const problem = (where, what) => problems.push(`${where}: ${what}`);

// ---- The validators -------------------------------------------------------------------------------------------
for (const error of aslValidator(parse()).errors) problem("asl-validator", error.Message ?? JSON.stringify(error));
{
  const service = languageService.getLanguageService({});
  const document = TextDocument.create(`file:///${name}.asl.json`, "asl", 1, substituted);
  const found = await service.doValidation(document, service.parseJSONDocument(document), { shouldValidateArn: true });
  for (const { message, range } of found) problem(`AWS language service, line ${range.start.line + 1}`, message);
}

// ---- The house rules ------------------------------------------------------------------------------------------
const isExpression = (value) => typeof value === "string" && value.startsWith("{%");
const body = (expression) => expression.slice(2, -2);

const parseAll = (where, value) => {
  if (isExpression(value)) {
    try {
      if (!value.endsWith("%}")) throw new Error("the expression does not end in %}");
      jsonata(body(value));
    } catch (error) {
      problem(where, error.message);
    }
  } else if (value && typeof value === "object") {
    for (const [name, inner] of Object.entries(value)) parseAll(`${where}.${name}`, inner);
  }
};
parseAll("expression", machine);

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const longest = ({ IntervalSeconds, MaxAttempts, BackoffRate, MaxDelaySeconds }) =>
  Array.from({ length: MaxAttempts }, (_, i) => Math.min(IntervalSeconds * BackoffRate ** i, MaxDelaySeconds));
let events = 0;
// What these raise shall end the execution.
const uncaught = ["RaiseOriginal", "FindRun", "Count"];
for (const [name, state] of allStates(machine)) {
  const commented = (where, thing) => thing.Comment?.trim() || problem(where, "no Comment says why it is there");
  commented(name, state);
  for (const [i, rule] of (state.Choices ?? []).entries()) commented(`${name}.Choices[${i}]`, rule);
  for (const [i, catcher] of (state.Catch ?? []).entries()) {
    const where = `${name}.Catch[${i}]`;
    commented(where, catcher);
    const all = catcher.ErrorEquals.includes("States.ALL");
    if (all !== (i === state.Catch.length - 1)) problem(where, "States.ALL must be caught, and last");
    if (catcher.ErrorEquals.length > 1) problem(where, "one error, one catcher");
  }
  const retried = new Set();
  for (const [i, retrier] of (state.Retry ?? []).entries()) {
    const where = `${name}.Retry[${i}]`;
    commented(where, retrier);
    if (retrier.JitterStrategy !== "FULL") problem(where, "JitterStrategy must be FULL");
    if (!(retrier.MaxDelaySeconds > retrier.IntervalSeconds)) problem(where, "MaxDelaySeconds must exceed IntervalSeconds");
    for (const error of retrier.ErrorEquals) {
      if (["States.ALL", "States.TaskFailed"].includes(error)) problem(where, `${error} would retry what cannot pass`);
      if (retried.has(error)) problem(where, `${error} is in two retriers; only the first counts`);
      retried.add(error);
    }
    // The comment promises a patience; it must be the one that is configured.
    const delays = longest(retrier);
    const most = sum(delays);
    const says = (words, seconds) => {
      const [, number, unit] = retrier.Comment.match(new RegExp(`(\\d+) (s|min|h) ${words}`)) ?? [];
      const size = { s: 1, min: 60, h: 3600 }[unit];
      return Math.abs(Number(number) * size - seconds) <= Math.max(0.02 * seconds, size / 2);
    };
    const [, count] = retrier.Comment.match(/(\d+) retries/) ?? [];
    if (Number(count) !== retrier.MaxAttempts || !says("at most", most))
      problem(where, `the comment must say ${retrier.MaxAttempts} retries, ${Math.round(most)} s at most`);
    // Each delay is a random part of its longest one: half of it on average. Once in 30,000 executions all of them
    // together are shorter than the average less four times the deviation.
    if (retrier.Comment.includes("on average") && !says("on average", most / 2))
      problem(where, `the comment must say ${Math.round(most / 2)} s on average`);
    const least = most / 2 - 4 * Math.sqrt(sum(delays.map((delay) => delay ** 2 / 12)));
    if (most >= 24 * 3600 && !says("at least", least))
      problem(where, `the comment must say ${Math.round(least)} s at least`);
  }
  // A retry has three events: scheduled, started, failed. One pass of all states must leave room for loops and redrives.
  const patience = sum((state.Retry ?? []).map((retrier) => sum(longest(retrier)) / 2));
  if (patience > machine.TimeoutSeconds) problem(name, `its retries take ${patience} s on average, longer than TimeoutSeconds`);
  events += 3 * sum((state.Retry ?? []).map(({ MaxAttempts }) => MaxAttempts));
  if (state.Type === "Task" && !uncaught.includes(name) && !state.Catch) problem(name, "this task must catch");
}
if (events > 24_999 / 2) problem("Retry", `all retries of one pass have ${events} events: more than half of what a history may have`);

// ---- The interpreter ------------------------------------------------------------------------------------------
class Failure extends Error {
  constructor(error, cause) {
    super(`${error}: ${cause}`);
    Object.assign(this, { error, cause });
  }
}
const plain = (value) => JSON.parse(JSON.stringify(value));

const evaluate = async (template, states) => {
  if (isExpression(template)) {
    let value;
    try {
      value = await jsonata(body(template)).evaluate(undefined, { states });
    } catch (error) {
      throw new Failure("States.QueryEvaluationError", error.message);
    }
    if (value === undefined) throw new Failure("States.QueryEvaluationError", `no result: ${template}`);
    return plain(value);
  }
  if (Array.isArray(template)) return Promise.all(template.map((item) => evaluate(item, states)));
  if (template && typeof template === "object") {
    const entries = Object.entries(template).map(async ([name, value]) => [name, await evaluate(value, states)]);
    return Object.fromEntries(await Promise.all(entries));
  }
  return template;
};

// What the function record-failure promises.
const recordFailure = ({ execution, failure, raise }) => {
  if (!raise) return { record: { location: `s3://failures/${execution.name}` } };
  if (execution.redrive_count > failure.redrive_count) return { resumed: true };
  throw new Failure(failure.error, failure.cause);
};

const run = async (scenario) => {
  const answers = plain(scenario.answers);
  const trace = { path: [], calls: {}, payloads: {}, waits: [] };
  const context = {
    Execution: { Id: "arn:execution", Name: "e-1", StartTime: "2026-01-09T18:30:00Z", Input: scenario.input },
    StateMachine: { Id: "arn:stateMachine", Name: "bridge" },
  };

  const call = (name, payload) => {
    trace.calls[name] = (trace.calls[name] ?? 0) + 1;
    (trace.payloads[name] ??= []).push(payload);
    const list = answers[name];
    // The last answer is given again and again; null stands for what record-failure does by itself.
    const answer = list && (list.length > 1 ? list.shift() : list[0]);
    if (answer?.error) throw new Failure(answer.error, answer.cause);
    if (answer) return answer;
    return recordFailure(payload);
  };

  const task = async (name, state, input) => {
    const retries = new Map();
    for (context.State.RetryCount = 0; ; context.State.RetryCount++) {
      try {
        const given = await evaluate(state.Arguments, { input, context });
        const isFunction = state.Resource.endsWith(":lambda:invoke");
        const answer = plain(call(name, isFunction ? given.Payload : given));
        const result = isFunction ? { StatusCode: 200, Payload: answer } : answer;
        return [await evaluate(state.Output, { input, result, context }), state.Next];
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        const retrier = state.Retry?.find(({ ErrorEquals }) => ErrorEquals.includes(failure.error));
        const done = retries.get(retrier) ?? 0;
        if (retrier && done < retrier.MaxAttempts) {
          retries.set(retrier, done + 1);
          continue;
        }
        const catcher = state.Catch?.find(
          ({ ErrorEquals }) => ErrorEquals.includes(failure.error) || ErrorEquals.includes("States.ALL"),
        );
        if (!catcher) throw failure;
        const errorOutput = { Error: failure.error, Cause: failure.cause };
        return [await evaluate(catcher.Output, { input, errorOutput, context }), catcher.Next];
      }
    }
  };

  const step = async (name, state, input) => {
    context.State = { Name: name, EnteredTime: "2026-01-09T18:30:01Z", RetryCount: 0 };
    if (state.Type === "Task") return task(name, state, input);
    if (state.Type === "Succeed") return [state.Output ? await evaluate(state.Output, { input, context }) : input, null];
    // The children have scenarios of their own. The result is discarded.
    if (state.Type === "Map") return [input, state.Next];
    if (state.Type === "Wait") {
      const seconds = await evaluate(state.Seconds, { input, context });
      if (!Number.isInteger(seconds) || seconds < 0) throw new Failure("States.QueryEvaluationError", `not seconds: ${seconds}`);
      trace.waits.push(seconds);
      return [input, state.Next];
    }
    if (state.Type === "Fail") throw new Failure(await evaluate(state.Error, { input, context }), await evaluate(state.Cause, { input, context }));
    for (const rule of state.Choices) {
      const met = await evaluate(rule.Condition, { input, context });
      if (typeof met !== "boolean") throw new Failure("States.QueryEvaluationError", `not a boolean: ${rule.Condition}`);
      if (met) return [rule.Output ? await evaluate(rule.Output, { input, context }) : input, rule.Next];
    }
    return [input, state.Default];
  };

  // The whole machine, or the children of one of its Maps.
  const { StartAt, States } = scenario.map ? machine.States[scenario.map].ItemProcessor : machine;
  let name = StartAt;
  let input = scenario.input;
  let redrives = scenario.redrives ?? 0;
  for (;;) {
    trace.path.push(name);
    if (trace.path.length > 100) return { ...trace, status: "ENDLESS" };
    try {
      const [output, next] = await step(name, States[name], input);
      if (!next) return { ...trace, status: "SUCCEEDED", output };
      [name, input] = [next, output];
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (redrives-- === 0) return { ...trace, status: "FAILED", error: failure.error, cause: failure.cause };
      // As documented: the same state, the same input, a count that is absent before the first redrive.
      context.Execution.RedriveCount = (context.Execution.RedriveCount ?? 0) + 1;
    }
  }
};

// ---- The scenarios --------------------------------------------------------------------------------------------
// An empty object means empty; any other names what must be there.
const contains = (actual, wanted) =>
  wanted && typeof wanted === "object" && !Array.isArray(wanted) && Object.keys(wanted).length
    ? actual && typeof actual === "object" && Object.entries(wanted).every(([name, value]) => contains(actual[name], value))
    : isDeepStrictEqual(actual, wanted);

const { common, scenarios } = JSON.parse(readFileSync(here(`${name}.scenarios.json`), "utf8"));
const resolve = (value) => {
  if (typeof value === "string" && value.startsWith("@")) return resolve(common[value.slice(1)]);
  if (Array.isArray(value)) return value.map(resolve);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v)]));
  return value;
};
let passed = 0;
// A definition that is not valid cannot be walked through.
for (const raw of problems.length ? [] : scenarios) {
  const scenario = resolve(raw);
  const before = problems.length;
  const got = await run(scenario);
  const { payloads = [], ...expected } = scenario.expect;
  for (const [key, value] of Object.entries(expected)) {
    if (key === "calls" ? !contains(got.calls, value) : !isDeepStrictEqual(got[key], value))
      problem(scenario.name, `${key}\n  wanted ${JSON.stringify(value)}\n  got    ${JSON.stringify(got[key])}`);
  }
  for (const [state, nth, wanted] of payloads) {
    const payload = got.payloads[state]?.[nth];
    const exact = wanted.exactly;
    if (exact ? !isDeepStrictEqual(payload, exact) : !contains(payload, wanted))
      problem(scenario.name, `payload ${nth} of ${state}\n  wanted ${JSON.stringify(wanted)}\n  got    ${JSON.stringify(payload)}`);
  }
  if (problems.length === before) passed++;
}

for (const line of problems) console.error(line);
console.log(`${name}: ${passed} passed, ${scenarios.length - passed} failed`);
if (problems.length) {
  console.error(`${problems.length} problems in ${name}.asl.json`);
  process.exit(1);
}
