/*
 * ReadEvents - what Kafka Connect makes of events with schemas: the other side of format debezium.
 *
 * Reads one event a line from standard input, lets JsonConverter check it against its own schema and
 * write it again, and answers each with one line: {"back": the event as Connect writes it, "after":
 * the columns of the new row with the Java values that they became, "header": the text that it is as
 * the value of a header, by the converter that Connect has for headers unless it is told otherwise,
 * "fault": why it was refused}.
 */
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.connect.data.ConnectSchema;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;

public final class ReadEvents {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final SimpleHeaderConverter HEADERS = new SimpleHeaderConverter();

    private static String text(Object value) {
        if (value instanceof BigDecimal decimal) {
            return decimal.toPlainString();
        }
        if (value instanceof java.util.Date date) {
            return Long.toString(date.getTime());
        }
        if (value instanceof byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        }
        if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            return HexFormat.of().formatHex(bytes);
        }
        if (value instanceof List<?> list) {
            return list.stream().map(ReadEvents::text).collect(Collectors.joining(",", "[", "]"));
        }
        if (value instanceof Map<?, ?> map) {
            return map.entrySet().stream().map(pair -> pair.getKey() + "=" + text(pair.getValue()))
                .sorted().collect(Collectors.joining(",", "{", "}"));
        }
        if (value instanceof Struct struct) {
            return struct.schema().fields().stream()
                .map(field -> field.name() + "=" + text(struct.get(field)))
                .collect(Collectors.joining(",", "{", "}"));
        }
        return String.valueOf(value);
    }

    private static void describe(Struct row, ObjectNode columns) {
        for (Field field : row.schema().fields()) {
            ObjectNode column = columns.putObject(field.name());
            column.put("type", field.schema().type().getName());
            column.put("name", field.schema().name());
            column.put("value", row.get(field) == null ? null : text(row.get(field)));
        }
    }

    private static void answer(JsonConverter converter, String line, ObjectNode answer) throws Exception {
        SchemaAndValue event = converter.toConnectData("t", line.getBytes(StandardCharsets.UTF_8));
        ConnectSchema.validateValue(event.schema(), event.value());
        answer.set("back", MAPPER.readTree(converter.fromConnectData("t", event.schema(), event.value())));
        byte[] header = HEADERS.fromConnectHeader("t", "h", event.schema(), event.value());
        answer.put("header", new String(header, StandardCharsets.UTF_8));
        Struct value = (Struct) event.value();
        if (value.schema().field("after") != null && value.getStruct("after") != null) {
            describe(value.getStruct("after"), answer.putObject("after"));
        }
    }

    public static void main(String[] arguments) throws Exception {
        JsonConverter converter = new JsonConverter();
        converter.configure(Map.of("schemas.enable", "true"), false);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ObjectNode answer = MAPPER.createObjectNode();
            try {
                answer(converter, line, answer);
            } catch (Exception fault) {
                answer.put("fault", fault.toString());
            }
            out.println(MAPPER.writeValueAsString(answer));
        }
        out.flush();
    }
}
