-- Numbers, dates, instants, times: exactly.
SELECT id FROM salesforce.every_type__c WHERE double__c > 1000.5;
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE Double__c > 1000.5
--= a00RO000000EZanYAG
--= a00RO000000EZaoYAG
--= a00RO000000EZb9YAG
--= a00RO000000EZbAYAW
--= a00RO000000EZbDYAW
--= (12 rows)
SELECT id FROM salesforce.every_type__c WHERE 1000 >= int__c AND long__c <> 0;
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE Int__c <= 1000 AND (Long__c != 0 AND Long__c != null)
--= a00RO000000EZaiYAG
--= a00RO000000EZajYAG
--= a00RO000000EZakYAG
--= a00RO000000EZalYAG
--= a00RO000000EZanYAG
--= (26 rows)
SELECT id FROM salesforce.every_type__c WHERE currency__c BETWEEN -100 AND 2.50;
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE Currency__c >= -100 AND Currency__c <= 2.5
--= a00RO000000EZajYAG
--= a00RO000000EZb0YAG
--= a00RO000000EZb5YAG
--= a00RO000000EZb6YAG
--= a00RO000000EZbKYAW
--= (11 rows)
SELECT id FROM salesforce.every_type__c WHERE currency__c NOT BETWEEN -100 AND 2.50;
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE Currency__c < -100 OR Currency__c > 2.5
--= a00RO000000EZaiYAG
--= a00RO000000EZakYAG
--= a00RO000000EZalYAG
--= a00RO000000EZamYAG
--= a00RO000000EZanYAG
--= (43 rows)
SELECT id FROM salesforce.every_type__c WHERE currency__c IN (0, 1, 0.01);
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE Currency__c IN (0,1,0.01)
--= a00RO000000EZajYAG
--= a00RO000000EZb0YAG
--= a00RO000000EZb5YAG
--= a00RO000000EZbKYAW
--= a00RO000000EZbLYAW
--= (7 rows)
SELECT id FROM salesforce.every_type__c WHERE currency__c NOT IN (0, 1, 0.01);
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE (Currency__c NOT IN (0,1,0.01) AND Currency__c != null)
--= a00RO000000EZaiYAG
--= a00RO000000EZakYAG
--= a00RO000000EZalYAG
--= a00RO000000EZamYAG
--= a00RO000000EZanYAG
--= (47 rows)
SELECT id FROM salesforce.every_type__c WHERE currency__c = ANY ('{0,1}');
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE Currency__c IN (0,1)
--= a00RO000000EZajYAG
--= a00RO000000EZb0YAG
--= a00RO000000EZb5YAG
--= a00RO000000EZbLYAW
--= a00RO000000EZbfYAG
--= (5 rows)
SELECT id FROM salesforce.every_type__c WHERE currency__c <> ALL ('{0,1}');
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE (Currency__c NOT IN (0,1) AND Currency__c != null)
--= a00RO000000EZaiYAG
--= a00RO000000EZakYAG
--= a00RO000000EZalYAG
--= a00RO000000EZamYAG
--= a00RO000000EZanYAG
--= (49 rows)
SELECT id FROM salesforce.contact WHERE birthdate >= '1990-01-01' AND birthdate < '2000-01-01';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE Birthdate >= 1990-01-01 AND Birthdate < 2000-01-01
--= 003RO000000EZbHYAW
--= 003RO000000EZbRYAW
--= 003RO000000EZbaYAG
--= 003RO000000EZd8YAG
--= 003RO000000EZdKYAW
--= (8 rows)
SELECT id FROM salesforce.contact WHERE created_date >= '2020-01-01 00:00+00' AND created_date < '2020-03-01 00:00+00';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE CreatedDate >= 2020-01-01T00:00:00.000Z AND CreatedDate < 2020-03-01T00:00:00.000Z
--= 003RO000000EZasYAG
--= 003RO000000EZcBYAW
--= 003RO000000EZcLYAW
--= 003RO000000EZcaYAG
--= 003RO000000EZclYAG
--= (8 rows)
SELECT id FROM salesforce.contact WHERE created_date > '2020-01-01 00:00:00.000001+00' AND created_date < '2020-03-01 00:00+00';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE CreatedDate > 2020-01-01T00:00:00.000Z AND CreatedDate < 2020-03-01T00:00:00.000Z
--= 003RO000000EZasYAG
--= 003RO000000EZcBYAW
--= 003RO000000EZcLYAW
--= 003RO000000EZcaYAG
--= 003RO000000EZclYAG
--= (8 rows)
SELECT id FROM salesforce.every_type__c WHERE time__c = '12:00';
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE Time__c = 12:00:00.000Z
--= a00RO000000EZapYAG
--= a00RO000000EZarYAG
--= a00RO000000EZbDYAW
--= a00RO000000EZbbYAG
--= (4 rows)
-- Types that Postgres compares with each other.
SELECT id FROM salesforce.every_type__c WHERE int__c < 0.5;
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: SELECT Id FROM Every_Type__c WHERE Int__c <= 0
--= a00RO000000EZaiYAG
--= a00RO000000EZajYAG
--= a00RO000000EZakYAG
--= a00RO000000EZalYAG
--= a00RO000000EZanYAG
--= (27 rows)
SELECT id FROM salesforce.contact WHERE birthdate < '1800-01-01 12:00'::timestamp;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (contact.birthdate < '1800-01-01 12:00:00'::timestamp without time zone)
-->   Remote Query: SELECT Id, Birthdate FROM Contact WHERE Birthdate <= $1
--= 003RO000000EZauYAG
--= 003RO000000EZavYAG
--= 003RO000000EZb5YAG
--= 003RO000000EZbAYAW
--= 003RO000000EZbFYAW
--= (16 rows)
SELECT id FROM salesforce.contact WHERE created_date < '2015-03-01'::date;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE CreatedDate < $1
--= 003RO000000EZb2YAG
--= 003RO000000EZbgYAG
--= 003RO000000EZdhYAG
--= 003RO000000EZeuYAG
--= 003RO000000EZeyYAG
--= (6 rows)
-- Expressions of the column.
SELECT id FROM salesforce.every_type__c WHERE int__c + 1 > 0;
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Filter: ((every_type__c.int__c + 1) > 0)
-->   Remote Query: SELECT Id, Int__c FROM Every_Type__c
--= a00RO000000EZamYAG
--= a00RO000000EZaoYAG
--= a00RO000000EZarYAG
--= a00RO000000EZasYAG
--= a00RO000000EZauYAG
--= (26 rows)
SELECT id FROM salesforce.contact WHERE extract(year FROM birthdate) = 2000;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (EXTRACT(year FROM contact.birthdate) = '2000'::numeric)
-->   Remote Query: SELECT Id, Birthdate FROM Contact
--= 003RO000000EZb8YAG
--= 003RO000000EZbWYAW
--= 003RO000000EZcJYAW
--= 003RO000000EZd9YAG
--= 003RO000000EZdIYAW
--= (9 rows)
-- Values that no record can have.
SELECT id FROM salesforce.every_type__c WHERE currency__c = 'NaN';
--> Foreign Scan on salesforce.every_type__c
-->   Output: id
-->   Remote Query: nothing: no record can match
--= (0 rows)
SELECT id FROM salesforce.contact WHERE birthdate = 'infinity';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: nothing: no record can match
--= (0 rows)
