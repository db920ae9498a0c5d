import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.math.BigDecimal;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Publishes audit events to {@code POST /v1/events}: JDK 17, no libraries. JDK 17 runs it as it is.
 *
 * <p>Publish the calls on standard input, one JSON object a line, as events of patient-service:
 * <pre>AUDIT_TOKEN=... java AuditTrailPublisher.java http://127.0.0.1:8000 &lt; calls.ndjson</pre>
 * Print the events that it makes of golden vectors, one a line:
 * <pre>java AuditTrailPublisher.java ../golden-vectors.json</pre>
 *
 * <p>Events are sent in the order of the calls, one request at a time. Unsent events are in memory: {@link #close}
 * waits until there are none.
 */
public final class AuditTrailPublisher implements AutoCloseable {

    /** Who reports; {@code site} and {@code instance} may be null. */
    public record Source(String service, String site, String instance) {}

    /** An event that the trail does not accept. It holds no data of the event. */
    public record Rejection(String eventId, String type, String reason, String field, String message) {}

    private record Unsent(String eventId, String type, String json) {}

    private static final int CAPACITY = 10_000;
    private static final int BATCH = 500;
    private static final long FIRST_PAUSE = 200;
    private static final long LONGEST_PAUSE = 30_000;
    private static final SecureRandom RANDOM = new SecureRandom();

    private final URI address;
    private final Supplier<String> token;
    private final Source source;
    private final Consumer<Rejection> onRejected;
    private final Consumer<String> onWaiting;
    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final List<Unsent> unsent = new ArrayList<>();
    private final Thread sender = new Thread(this::send, "audit-trail-publisher");
    private long sequence;
    private long accepted;
    private long rejected;
    private int attempts;
    private boolean closing;

    /** The token is asked for at each request, since it may be renewed. */
    public AuditTrailPublisher(
            String url, Supplier<String> token, Source source, Consumer<Rejection> onRejected, Consumer<String> onWaiting) {
        this.address = URI.create(url + "/v1/events");
        this.token = token;
        this.source = source;
        this.onRejected = onRejected;
        this.onWaiting = onWaiting;
        sender.setDaemon(true);
        sender.start();
    }

    /** A name for a counter in memory: new at each start. */
    public static String newInstance() throws IOException {
        return InetAddress.getLocalHost().getHostName() + "/" + UUID.randomUUID();
    }

    /**
     * Takes an event, given by the fields of the JSON Schema; {@code before} and {@code after} stand for its changes.
     * It has its id, time and number from now on. Waits while too many events are unsent. Returns the event id.
     */
    public synchronized String record(Map<String, Object> call) throws InterruptedException {
        if (closing) throw new IllegalStateException("the publisher is closed");
        while (unsent.size() >= CAPACITY) wait();
        Instant now = Instant.now();
        String id = newEventId(now);
        String json = canonical(call, id, now, source, sequence + 1);
        sequence++;
        unsent.add(new Unsent(id, (String) call.get("type"), json));
        notifyAll();
        return id;
    }

    /** Waits until all events are sent. Throws when that takes over a minute, or when one was rejected. */
    @Override
    public void close() throws InterruptedException {
        synchronized (this) {
            closing = true;
            notifyAll();
        }
        sender.join(Duration.ofMinutes(1).toMillis());
        synchronized (this) {
            if (!unsent.isEmpty()) throw new IllegalStateException(unsent.size() + " audit events were not sent");
            if (rejected > 0) {
                throw new IllegalStateException(rejected + " of " + (rejected + accepted) + " audit events were rejected");
            }
        }
    }

    /** How many events the trail has accepted. */
    public synchronized long accepted() {
        return accepted;
    }

    private void send() {
        int size = BATCH;
        try {
            for (List<Unsent> batch = next(size); !batch.isEmpty(); batch = next(size)) {
                Answer answer = post(batch);
                if (answer.items == null && answer.tooLarge && batch.size() > 1) {
                    size = (batch.size() + 1) / 2;
                } else if (answer.items != null || answer.tooLarge) {
                    settle(batch, answer.items != null ? answer.items : List.of(Map.of("index", 0L, "reason", "oversized")));
                    size = Math.min(size + (size + 9) / 10, BATCH);
                }
            }
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    /** The oldest unsent events; none when the publisher is closed and has sent all. */
    private synchronized List<Unsent> next(int size) throws InterruptedException {
        while (unsent.isEmpty() && !closing) wait();
        return List.copyOf(unsent.subList(0, Math.min(size, unsent.size())));
    }

    private void settle(List<Unsent> batch, List<?> items) {
        List<Rejection> rejections = new ArrayList<>();
        for (Object each : items) {
            Map<?, ?> item = (Map<?, ?>) each;
            if (item.get("event_id") != null) continue;
            Unsent event = batch.get(((Number) item.get("index")).intValue());
            rejections.add(new Rejection(event.eventId, event.type, text(item, "reason", "denied"), text(item, "field", ""),
                    text(item, "message", "")));
        }
        synchronized (this) {
            unsent.subList(0, batch.size()).clear();
            rejected += rejections.size();
            accepted += batch.size() - rejections.size();
            notifyAll();
        }
        rejections.forEach(onRejected);
    }

    private static String text(Map<?, ?> item, String name, String absent) {
        Object found = item.get(name);
        return found == null ? absent : found.toString();
    }

    /** What the trail says of each event; null items: send again. Event ids prevent duplicates. */
    private record Answer(List<?> items, boolean tooLarge) {}

    private Answer post(List<Unsent> batch) throws InterruptedException {
        String body = "[" + String.join(",", batch.stream().map(Unsent::json).toList()) + "]";
        HttpRequest request = HttpRequest.newBuilder(address)
                .header("Authorization", "Bearer " + token.get())
                .header("Content-Type", "application/json")
                .timeout(Duration.ofSeconds(60))
                .POST(HttpRequest.BodyPublishers.ofString(body, StandardCharsets.UTF_8))
                .build();
        try {
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
            int status = answer.statusCode();
            if (status == 202 || status == 413 || status == 422) attempts = 0;
            if (status == 202) return new Answer((List<?>) Json.object(answer.body()).get("events"), false);
            if (status == 422) return new Answer((List<?>) Json.object(answer.body()).get("errors"), false);
            if (status == 413) return new Answer(null, true);
            // 401 and 403 too: a token may be renewed, and nothing is dropped that could still be sent.
            String seconds = answer.headers().firstValue("Retry-After").orElse("");
            later("the answer is " + status, seconds.matches("[0-9]{1,6}") ? Long.parseLong(seconds) * 1000 : -1);
        } catch (IOException | IllegalArgumentException failure) {
            later("no answer (" + failure.getClass().getSimpleName() + ")", -1);
        }
        return new Answer(null, false);
    }

    private void later(String reason, long milliseconds) throws InterruptedException {
        double growing = Math.min(LONGEST_PAUSE, FIRST_PAUSE * Math.pow(2, attempts++));
        onWaiting.accept(reason);
        Thread.sleep(milliseconds >= 0 ? milliseconds : (long) (growing * ThreadLocalRandom.current().nextDouble(0.5, 1)));
    }

    /** A UUID of version 7 (RFC 9562, section 5.7): milliseconds, then random bits. */
    static String newEventId(Instant at) {
        long high = at.toEpochMilli() << 16 | 0x7000 | RANDOM.nextInt(0x1000);
        return new UUID(high, RANDOM.nextLong() >>> 2 | Long.MIN_VALUE).toString();
    }

    // The event of a call

    /** A field of an event: its parts if it is an object or a list of objects, and the value that is left out. */
    private record Field(String name, List<Field> parts, Object byDefault) {}

    private static List<Field> named(String names) {
        return List.of(names.split(" ")).stream().map(name -> new Field(name, null, null)).toList();
    }

    private static List<Field> fields(Object... given) {
        List<Field> found = new ArrayList<>();
        for (Object each : given) {
            if (each instanceof Field field) found.add(field);
            else found.addAll(named((String) each));
        }
        return found;
    }

    private static final List<Field> EVENT = fields(
            "event_id type occurred_at",
            new Field("source", named("service site instance sequence"), null),
            new Field("actor", fields(new Field("kind", null, "user"), "id name roles on_behalf_of"), null),
            "action",
            new Field("outcome", null, "success"),
            "outcome_reason session",
            new Field("client", named("address user_agent"), null),
            new Field("patients", named("id name"), null),
            new Field("device", named("id name software_version configuration_version"), null),
            new Field("resources", named("type id version data_category"), null),
            new Field("changes", named("path before after"), null),
            "purpose_of_use reason",
            new Field("emergency", null, false),
            "correlation_id",
            new Field("request", named("method path status duration_ms"), null),
            new Field("disclosure", named("recipient recipient_address description purpose"), null),
            new Field("codes", named("system code display"), null),
            "attributes");

    /** The event of a call as the one line of JSON that every publisher makes of it. {@code sequence} may be null. */
    static String canonical(Map<String, Object> call, String eventId, Instant at, Source source, Long sequence) {
        Map<String, Object> event = new LinkedHashMap<>(call);
        Object before = event.remove("before");
        Object after = event.remove("after");
        if (before != null || after != null) event.put("changes", changesBetween(before, after));
        Map<String, Object> reporter = new LinkedHashMap<>();
        reporter.put("service", source.service);
        reporter.put("site", source.site);
        reporter.put("instance", source.instance);
        reporter.put("sequence", sequence);
        event.put("event_id", eventId);
        event.put("occurred_at", timeOf(at));
        event.put("source", reporter);
        return Json.write(inOrder(event, EVENT, ""));
    }

    /** The fields in the order of the schema, without those that say nothing. A name that no event has is an error. */
    private static Map<String, Object> inOrder(Map<?, ?> given, List<Field> fields, String path) {
        for (Object name : given.keySet()) {
            if (fields.stream().noneMatch(field -> field.name.equals(name))) {
                throw new IllegalArgumentException("an event has no field " + path + name);
            }
        }
        Map<String, Object> found = new LinkedHashMap<>();
        for (Field field : fields) {
            Object value = given.get(field.name);
            boolean empty = value instanceof Collection<?> list && list.isEmpty()
                    || field.name.equals("attributes") && value instanceof Map<?, ?> map && map.isEmpty();
            if (value == null || empty || value.equals(field.byDefault)) continue;
            String below = path + field.name + ".";
            if (field.parts == null) found.put(field.name, value);
            else if (value instanceof Map<?, ?> map) found.put(field.name, inOrder(map, field.parts, below));
            else {
                found.put(field.name, ((Collection<?>) value).stream()
                        .map(part -> inOrder((Map<?, ?>) part, field.parts, below)).toList());
            }
        }
        return found;
    }

    /** The leaves that differ, by path. Lists are compared as a whole. */
    static List<Map<String, Object>> changesBetween(Object before, Object after) {
        Map<String, Object> old = new TreeMap<>();
        Map<String, Object> now = new TreeMap<>();
        leaves(before, "", old);
        leaves(after, "", now);
        TreeSet<String> paths = new TreeSet<>(old.keySet());
        paths.addAll(now.keySet());
        List<Map<String, Object>> found = new ArrayList<>();
        for (String path : paths) {
            if (Objects.equals(old.get(path), now.get(path))) continue;
            Map<String, Object> change = new LinkedHashMap<>();
            change.put("path", path);
            change.put("before", old.get(path));
            change.put("after", now.get(path));
            found.add(change);
        }
        return found;
    }

    private static void leaves(Object value, String path, Map<String, Object> found) {
        if (value == null) return;
        ((Map<?, ?>) value).forEach((name, inner) -> {
            if (inner instanceof Map<?, ?>) leaves(inner, path + name + ".", found);
            else found.put(path + name, inner);
        });
    }

    /** RFC 3339 in UTC, with six decimals or none. */
    private static String timeOf(Instant at) {
        String seconds = Instant.ofEpochSecond(at.getEpochSecond()).toString();
        int micros = at.getNano() / 1000;
        return micros == 0 ? seconds : seconds.replace("Z", String.format(".%06dZ", micros));
    }

    /** As much JSON as this needs: the JDK has none. Numbers are Long or BigDecimal. */
    static final class Json {
        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        @SuppressWarnings("unchecked")
        static Map<String, Object> object(String text) {
            Json json = new Json(text);
            Object found = json.value();
            if (json.peek() != 0 || !(found instanceof Map)) throw json.wrong();
            return (Map<String, Object>) found;
        }

        static String write(Object value) {
            StringBuilder out = new StringBuilder();
            write(value, out);
            return out.toString();
        }

        private static void write(Object value, StringBuilder out) {
            if (value instanceof Map<?, ?> map) {
                String separator = "{";
                for (Map.Entry<?, ?> each : map.entrySet()) {
                    out.append(separator);
                    quote((String) each.getKey(), out);
                    write(each.getValue(), out.append(':'));
                    separator = ",";
                }
                out.append(map.isEmpty() ? "{}" : "}");
            } else if (value instanceof Collection<?> list) {
                String separator = "[";
                for (Object each : list) {
                    write(each, out.append(separator));
                    separator = ",";
                }
                out.append(list.isEmpty() ? "[]" : "]");
            } else if (value instanceof String string) quote(string, out);
            else out.append(value instanceof BigDecimal number ? number.toPlainString() : String.valueOf(value));
        }

        private static void quote(String string, StringBuilder out) {
            out.append('"');
            for (char each : string.toCharArray()) {
                int escaped = "\"\\\b\f\n\r\t".indexOf(each);
                if (escaped >= 0) out.append('\\').append("\"\\bfnrt".charAt(escaped));
                else if (each < ' ') out.append(String.format("\\u%04x", (int) each));
                else out.append(each);
            }
            out.append('"');
        }

        private Object value() {
            switch (peek()) {
                case '{': {
                    Map<String, Object> found = new LinkedHashMap<>();
                    for (at++; peek() != '}'; ) {
                        if (!found.isEmpty()) expect(',');
                        String name = string();
                        expect(':');
                        found.put(name, value());
                    }
                    at++;
                    return found;
                }
                case '[': {
                    List<Object> found = new ArrayList<>();
                    for (at++; peek() != ']'; ) {
                        if (!found.isEmpty()) expect(',');
                        found.add(value());
                    }
                    at++;
                    return found;
                }
                case '"':
                    return string();
                default:
                    return word();
            }
        }

        private Object word() {
            int from = at;
            while (at < text.length() && ",]} \t\r\n".indexOf(text.charAt(at)) < 0) at++;
            String word = text.substring(from, at);
            if (word.equals("null")) return null;
            if (word.equals("true") || word.equals("false")) return word.equals("true");
            if (word.matches("-?[0-9]{1,18}")) return Long.parseLong(word);
            return new BigDecimal(word);
        }

        private String string() {
            expect('"');
            StringBuilder found = new StringBuilder();
            while (text.charAt(at) != '"') {
                char each = text.charAt(at++);
                if (each == '\\') {
                    each = text.charAt(at++);
                    int plain = "bfnrt".indexOf(each);
                    if (plain >= 0) each = "\b\f\n\r\t".charAt(plain);
                    else if (each == 'u') each = (char) Integer.parseInt(text.substring(at, at += 4), 16);
                }
                found.append(each);
            }
            at++;
            return found.toString();
        }

        /** The next character that is no blank; 0 at the end. */
        private char peek() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
            return at < text.length() ? text.charAt(at) : 0;
        }

        private void expect(char wanted) {
            if (peek() != wanted) throw wrong();
            at++;
        }

        private IllegalArgumentException wrong() {
            return new IllegalArgumentException("not the JSON that was expected, at character " + at);
        }
    }

    // The example's program

    public static void main(String[] given) throws Exception {
        if (given.length != 1) throw new IllegalArgumentException("usage: AuditTrailPublisher.java URL, or FILE");
        if (!given[0].startsWith("http")) {
            print(Path.of(given[0]));
            return;
        }
        Supplier<String> token = () -> System.getenv("AUDIT_TOKEN");
        AuditTrailPublisher trail = new AuditTrailPublisher(given[0], token,
                new Source("patient-service", null, newInstance()),
                each -> System.err.printf("audit event %s (%s) was rejected: %s %s: %s%n",
                        each.eventId, each.type, each.reason, each.field, each.message),
                reason -> System.err.println("audit events wait: " + reason));
        try (trail) {
            BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = input.readLine(); line != null; line = input.readLine()) trail.record(Json.object(line));
        } catch (IllegalStateException | IllegalArgumentException failure) {
            System.err.println(failure.getMessage());
            System.exit(1);
        }
        System.out.println("published " + trail.accepted() + " events");
    }

    @SuppressWarnings("unchecked")
    private static void print(Path file) throws IOException {
        Map<String, Object> document = Json.object(Files.readString(file));
        Map<String, Object> of = (Map<String, Object>) document.get("source");
        Source source = new Source((String) of.get("service"), (String) of.get("site"), (String) of.get("instance"));
        StringBuilder lines = new StringBuilder();
        for (Object each : (List<Object>) document.get("vectors")) {
            Map<String, Object> vector = (Map<String, Object>) each;
            lines.append(canonical((Map<String, Object>) vector.get("call"), (String) vector.get("event_id"),
                    Instant.parse((String) vector.get("at")), source, (Long) vector.get("sequence"))).append('\n');
        }
        System.out.write(lines.toString().getBytes(StandardCharsets.UTF_8));
        System.out.flush();
    }
}
