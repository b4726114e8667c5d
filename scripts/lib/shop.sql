-- shop.sql - the small shop of scripts/demo and of docker-compose.yml.
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,
                        email text, since date NOT NULL DEFAULT current_date);
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price numeric(8,2) NOT NULL,
                       stock int NOT NULL);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id int NOT NULL,
                     status text NOT NULL DEFAULT 'draft', total numeric(10,2) NOT NULL DEFAULT 0,
                     placed_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE order_items (order_id bigint NOT NULL, line int NOT NULL, product_id int NOT NULL,
                          quantity int NOT NULL, PRIMARY KEY (order_id, line));
INSERT INTO customers (name, email)
SELECT name, lower(name) || '@example.org' FROM unnest('{Ada,Grace,Edsger,Barbara,Dennis}'::text[]) name;
INSERT INTO products
SELECT i, 'Product ' || i, (i * 7 % 50) + 0.99, 1000 FROM generate_series(1, 20) i;
